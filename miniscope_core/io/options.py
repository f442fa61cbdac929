"""What every reader is, and what the caller can ask of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from miniscope_core.errors import ParameterError
from miniscope_core.io.clock import ClockPolicy
from miniscope_core.io.recording import Recording
from miniscope_core.progress import Progress, silent

Column = int | str
"""A column of a table: its number from 0, or its name in the table's first line."""


class ClockColumns(BaseModel):
    """Which column of a table is what: for clocks whose columns the user chose, as in Bonsai.

    Written as text: ``time=0,unit=iso,frame=1``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: Column = Field(description="Column of the time of a frame")
    unit: Literal["iso", "s", "ms", "us", "ns"] = Field(description="Unit of that column; iso: a date and time")
    file: str | None = Field(default=None, description="Name of the table beside the video; default: the video's, .csv")
    frame: Column | None = Field(default=None, description="Column of the frame number, counted by the hardware")
    trigger: Column | None = Field(default=None, description="Column of a trigger; its changes become notes")
    w: Column | None = Field(default=None, description="Column of the head orientation's w; then x, y and z too")
    x: Column | None = None
    y: Column | None = None
    z: Column | None = None
    header: bool = Field(default=False, description="Whether the first line names the columns; names need one")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make a map from its text.

        Raises
        ------
        ParameterError
            When it is none.
        """
        cells = [cell.partition("=") for cell in text.split(",") if cell.strip()]
        values = {name.strip(): int(value) if value.strip().isdecimal() else value.strip() for name, _, value in cells}
        try:
            columns = cls.model_validate(values)
        except ValidationError as error:
            problems = "; ".join(
                f"{str(one['loc'][0])[:20]!r}: {one['msg']}" if one["loc"] else one["msg"] for one in error.errors()[:3]
            )
            raise ParameterError(
                f"Column map: got {text[:120]!r}, expected such as 'time=0,unit=iso,frame=1' ({problems})."
            ) from error
        if columns.file is not None and Path(columns.file).name != columns.file:
            raise ParameterError(
                f"Column map: got file={columns.file!r}, expected the name of a file beside the video."
            )
        return columns

    @property
    def text(self) -> str:
        """The map as :meth:`parse` takes it."""
        given = self.model_dump(exclude_none=True, exclude_defaults=True)
        return ",".join(f"{name}={str(value).lower() if value is True else value}" for name, value in given.items())

    @property
    def named(self) -> bool:
        """Whether the table has a line of names."""
        columns = (self.time, self.frame, self.trigger, self.w, self.x, self.y, self.z)
        return self.header or any(isinstance(one, str) for one in columns)


@dataclass(frozen=True)
class ReadOptions:
    """How a recording is to be read; see :func:`miniscope_core.io.open_recording`."""

    clock: ClockPolicy = "strict"
    fps: float | None = None
    frame_counts: Mapping[str, int] | None = None
    progress: Progress = silent
    workers: int = 1
    trust_containers: bool = False
    dataset: str | None = None
    files: str | None = None
    columns: ClockColumns | None = None

    def special(self) -> dict[str, str]:
        """Return the options given that only some formats take, as text by name."""
        columns = self.columns.text if self.columns else None
        given = {"dataset": self.dataset, "files": self.files, "columns": columns}
        return {name: value for name, value in given.items() if value is not None}


DEFAULTS: Final = ReadOptions()


class Reader(Protocol):
    """Reads the recordings of one format."""

    name: str
    """As in the AcquisitionSoftware lookup."""
    looks_for: str
    """What makes a folder or file this format's, for the message when nothing does."""
    place: Literal["folder", "file"]
    """Whether a recording is a folder or one file of it, with what lies beside it."""
    plain: bool
    """True for a movie without a program's mark: it is taken only where no program's recording is found."""
    takes: frozenset[str]
    """Those of the options ``dataset``, ``files``, ``columns`` that mean something here."""

    def recognise(self, place: Path, options: ReadOptions = DEFAULTS) -> str | None:
        """Return why the folder or file is this format's, or None; decodes nothing and raises nothing."""

    def set_aside(self, place: Path) -> str | None:
        """Return why a place of this format is not a miniscope's recording (a behaviour camera's), or None."""

    def read(self, place: Path, options: ReadOptions) -> Recording:
        """Read a place that :meth:`recognise` took.

        Raises
        ------
        RecordingError
            When something is missing or broken, with file, problem and remedy.
        """
