"""What the command line prints: one clear line for an error, a bar for long work, tables for rows."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from miniscope_core.errors import MiniscopeError

if TYPE_CHECKING:
    import pandas as pd

_WIDEST = 400
_PIPED = 200
# Piped output is read by programs or pasted: no line is broken where a terminal of 80 columns would.
out = Console(width=None if sys.stdout.isatty() else _PIPED)
err = Console(stderr=True)


class ProgressBar:
    """Shows the progress of long work as bars on standard error, one for each stage; a context manager.

    Parameters
    ----------
    quiet
        Show nothing; nor is anything shown where standard error is no terminal.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<18}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=err,
            disable=quiet or not err.is_terminal,
        )
        self._stages: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` steps of ``stage`` are finished."""
        shown = self._stages.get(stage)
        # A stage that comes again (each publication uploads) gets a bar of its own.
        if shown is None or (self._finished(shown) and done < total):
            self._stages[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._stages[stage], completed=done, total=total)

    def _finished(self, shown: TaskID) -> bool:
        return next(task.finished for task in self._bars.tasks if task.id == shown)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with status 1 and the message alone where the project or the file system refuses something."""
    try:
        yield
    except MiniscopeError as error:
        _refused(type(error).__name__, str(error))
    except OSError as error:
        # What a command itself writes (pictures, the demo's copy) fails for reasons the system says best.
        _refused(type(error).__name__, f"{error.strerror or error}: {error.filename}" if error.filename else str(error))


def _refused(kind: str, message: str) -> NoReturn:
    err.print(f"[bold red]{kind}[/]: {escape(' '.join(message.split()))}", soft_wrap=True)
    sys.exit(1)


def print_frame(frame: "pd.DataFrame", title: str = "", columns: Sequence[str] | None = None) -> None:
    """Print a table of rows; numbers to the right, empty cells as a dash, the first column (a key to copy) whole."""
    import pandas as pd

    table = Table(
        title=title or None, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1)
    )
    names = list(columns or frame.columns)
    for name in names:
        table.add_column(
            name, no_wrap=name == names[0], justify="right" if pd.api.types.is_numeric_dtype(frame[name]) else "left"
        )
    for row in frame[names].itertuples(index=False):
        table.add_row(*(escape(_cell(value)) for value in row))
    # Keys are there to be copied: a terminal that is too narrow wraps the line, the table cuts nothing.
    needed = Measurement.get(out, out.options.update(max_width=_WIDEST), table).maximum
    Console(width=max(out.width, needed)).print(table)


def pairs_table(title: str, values: Mapping[str, Any]) -> Table:
    """Return a table of names and values with a title; without those that are empty."""
    table = Table(title=escape(title), title_justify="left", title_style="bold", show_header=False, box=None)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        if value not in (None, ""):
            table.add_row(name, escape(str(value)))
    return table


def _cell(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
