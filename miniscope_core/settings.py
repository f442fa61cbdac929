"""Where things are: settings from the environment (prefix ``MINISCOPE_``) with defaults for a laptop."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import URL

GIB = 2**30


def _from_json(value: Any) -> Any:
    """Read a text as JSON; what is no text stays as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON ({error.msg} at character {error.pos})") from error


def _folders(value: Any) -> Any:
    """Read a JSON list of folders, or folders joined as in PATH."""
    if not isinstance(value, str):
        return value
    return _from_json(value) if value.lstrip().startswith("[") else [part for part in value.split(os.pathsep) if part]


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
    raw_roots: Annotated[list[Path], NoDecode, BeforeValidator(_folders)] = Field(
        default_factory=list,
        description="Folders that hold recordings, a JSON list or joined as in PATH; stored paths are relative to them",
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
            "raw_roots": [root.expanduser().absolute() for root in self.raw_roots],
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
