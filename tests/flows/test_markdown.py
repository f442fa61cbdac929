"""Text and pictures of reports, whatever is in them."""

import base64
import io
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from flows.markdown import artifact_key, escaped, facts, picture
from flows.reports import clock_section


def test_clock_problems_are_named() -> None:
    report = {
        "problems": ["3 rows more than frames"],
        "metadata_warnings": ["ROI is <absent>"],
        "backward": 2,
        "repeated": 0,
    }
    text = clock_section({"clock_report": report})
    assert "- 3 rows more than frames" in text
    assert "- ROI is &#60;absent&#62;" in text
    assert "2 times that go back" in text
    assert "repeated" not in text
    assert clock_section({"clock_report": {"problems": []}}) == ""


def test_names_cannot_break_out_of_their_place() -> None:
    hostile = "<script>alert(1)</script> | ![x](http://evil/p.png)\n# heading `code` *bold* _em_ [a](b)"
    text = facts({"Device": hostile})
    assert len(text.splitlines()) == 3
    for structure in ("<", ">", "![", "](", "`", "*", "_em_", "#h", "\n#"):
        assert structure not in text.split("Device", 1)[1].replace("&#", ""), structure
    assert text.splitlines()[-1].count("|") == 3


def test_text_stays_on_its_line() -> None:
    assert escaped("a\r\n b\x00\u2028c\x1b[31m") == "a b c &#91;31m"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text, self.tags = "", 0

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags += 1


@given(st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" ")))
def test_escaped_text_reads_as_it_was(text: str) -> None:
    reader = _Text()
    reader.feed(escaped(text))
    reader.close()
    assert reader.tags == 0
    assert reader.text == " ".join(text.split())


@given(st.text(), st.text())
def test_keys_of_artifacts_are_what_prefect_takes_and_differ_with_what_they_are_about(one: str, other: str) -> None:
    key = artifact_key("units", one)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)
    assert key == artifact_key("units", one)
    assert (key == artifact_key("units", other)) == (one == other)


def test_pictures_are_made_small() -> None:
    noise = Image.effect_noise((1600, 400), 80).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, format="png")
    text = picture("noise", buffer.getvalue())
    with Image.open(io.BytesIO(base64.b64decode(text.partition("base64,")[2].removesuffix(")")))) as small:
        assert small.size == (860, 215)
    assert len(text) < buffer.tell() / 2
