"""Markdown for artifacts: text that cannot break out of its place, tables, pictures, keys."""

import base64
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from PIL import Image

# Underscores within a word mean nothing in Markdown, and names are full of them.
_SPECIAL: Final = re.compile(r"[^\w \-.,:;/()+=%'µ×²–]|(?<![^\W_])_|_(?![^\W_])")
_SLUG_LENGTH: Final = 60
# About as wide as the page of a run; with so few colours five pictures stay below half a megabyte.
_WIDTH_PX: Final = 860
_COLOURS: Final = 128


def escaped(text: object) -> str:
    """Return text as Markdown that shows exactly it, on one line.

    Names come from recordings' metadata: whatever has a meaning in Markdown or HTML becomes a character
    reference, which is never read as structure; what cannot be printed becomes a blank.
    """
    printable = "".join(character if character.isprintable() else " " for character in str(text))
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", " ".join(printable.split()))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; cells are escaped."""
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def facts(pairs: Mapping[str, object]) -> str:
    """Return a table of names and values, without those that are empty."""
    return table(("Fact", "Value"), [(name, value) for name, value in pairs.items() if value not in (None, "")])


def bullets(lines: Iterable[object]) -> str:
    """Return a list; lines are escaped."""
    return "\n".join(f"- {escaped(line)}" for line in lines)


def picture(description: str, png: bytes) -> str:
    """Return a PNG as part of the text, made small: artifacts are rows of Prefect's database, with no files beside."""
    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB")
    if small.width > _WIDTH_PX:
        small = small.resize((_WIDTH_PX, round(small.height * _WIDTH_PX / small.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, format="png", optimize=True)
    return f"![{escaped(description)}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


def artifact_key(kind: str, key: object) -> str:
    """Return the key of an artifact about something: the same again and again, so that its versions are kept together.

    Prefect takes lower-case letters, digits and dashes; the digest keeps apart what differs in other letters.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", str(key).lower()).strip("-")[:_SLUG_LENGTH].strip("-")
    digest = hashlib.sha256(str(key).encode()).hexdigest()[:8]
    return "-".join(part for part in (kind, slug, digest) if part)
