"""Where things are: settings from the environment (prefix ``MINISCOPE_``) with defaults for a laptop."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL

GIB: Final = 2**30
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""Two letters at least: ``C://`` is a disk."""


def _from_json(value: Any) -> Any:
    """Read a text as JSON; what is no text stays as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON ({error.msg} at character {error.pos})") from error


def _roots(value: Any) -> Any:
    """Read a JSON list of folders and addresses, or what is joined as in PATH."""
    if not isinstance(value, str):
        return value
    # The colon of an address joins nothing.
    joined = re.split(rf"{re.escape(os.pathsep)}(?!//)", value)
    return _from_json(value) if value.lstrip().startswith("[") else [part for part in joined if part]


def is_address(place: str | os.PathLike[str]) -> bool:
    """Tell an address (``s3://bucket/mouse1``), which fsspec reads, from a folder or file of this machine."""
    return isinstance(place, str) and _ADDRESS.match(place) is not None


def plain_place(place: str | os.PathLike[str]) -> Path | str:
    """Return an address without a last ``/``, and of anything else the absolute path."""
    if isinstance(place, str) and is_address(place):
        return place.rstrip("/")
    # Not resolved: a link to a device folder keeps its place in the session, and its name.
    return Path(os.path.abspath(Path(place).expanduser()))


class Settings(BaseSettings):
    """Addresses and limits; every one can be set by an environment variable of the same name in capitals.

    With nothing set, everything lives below one folder, ``MINISCOPE_HOME``.
    """

    model_config = SettingsConfigDict(env_prefix="MINISCOPE_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Field(default=Path("~/.miniscope"), description="Folder that holds everything not set otherwise")
    database_url: str = Field(default="", description="SQLAlchemy address; default a SQLite file below MINISCOPE_HOME")
    store_url: str = Field(
        default="", description="fsspec address of the object store; default a folder below MINISCOPE_HOME"
    )
    store_options: Annotated[dict[str, Any], NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        description="Options of the fsspec file system of the store, as JSON, e.g. an endpoint_url for s3fs",
    )
    raw_roots: Annotated[list[Path | str], NoDecode, BeforeValidator(_roots)] = Field(
        default_factory=list,
        description="Folders and addresses that hold recordings, a JSON list or joined as in PATH; stored paths are "
        "relative to them",
    )
    raw_options: Annotated[dict[str, dict[str, Any]], NoDecode, BeforeValidator(_from_json)] = Field(
        default_factory=dict,
        description="Options of the fsspec file systems of recordings' addresses, as JSON, by protocol, e.g. "
        '{"s3": {"endpoint_url": …}}',
    )
    cache_dir: Path = Field(
        default=Path(), description="Copies of recordings that are read from an address; default below MINISCOPE_HOME"
    )
    cache_limit: PositiveInt = Field(default=50 * GIB, description="Bytes that those copies may take together")
    cache_hours: NonNegativeFloat = Field(
        default=24.0, description="Hours for which they stay after their last use, so that the next step finds them"
    )
    scratch_dir: Path = Field(default=Path(), description="Working files of engines; default below MINISCOPE_HOME")
    page_url: str = Field(
        default="", description="Address at which people reach the curation page; run pages link to it"
    )
    caiman_python: str = Field(default="", description="Python interpreter that has CaImAn; default this one")
    time_limit: PositiveFloat = Field(
        default=86_400.0, description="Seconds that CaImAn may take for one recording; it is ended then"
    )
    workers: PositiveInt = Field(
        default_factory=lambda: os.cpu_count() or 1, description="Processes or threads an engine may use"
    )
    memory_limit: PositiveInt = Field(
        default=4 * GIB, description="Memory an engine may plan with, in bytes; CaImAn is ended above it"
    )

    @field_validator("home")
    @classmethod
    def _plain_home(cls, home: Path) -> Path:
        if "::" in str(home):
            raise ValueError("expected a folder without '::', which joins addresses of stores")
        return home

    @model_validator(mode="after")
    def _below_home(self) -> Self:
        home = self.home.expanduser().absolute()
        fill = {
            "home": home,
            "database_url": self.database_url or _sqlite_url(home / "miniscope.db"),
            "store_url": self.store_url or str(home / "store"),
            "scratch_dir": self.scratch_dir.expanduser() if self.scratch_dir != Path() else home / "scratch",
            "cache_dir": self.cache_dir.expanduser().absolute() if self.cache_dir != Path() else home / "cache",
            "raw_roots": [plain_place(root) for root in self.raw_roots],
        }
        for name, value in fill.items():
            object.__setattr__(self, name, value)  # frozen for everyone else
        return self

    @property
    def jobs_dir(self) -> Path:
        """The part of the scratch folder that is ours alone: what is in it may be cleaned up."""
        return self.scratch_dir / "jobs"


def _sqlite_url(path: Path) -> str:
    """Return the address of a SQLite file, whatever characters its folder has."""
    return URL.create("sqlite", database=str(path)).render_as_string()
