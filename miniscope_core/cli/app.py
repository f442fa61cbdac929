"""The program ``miniscope``: its global options, and what its commands share."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

import miniscope_core
from miniscope_core.cli.console import ProgressBar, err, out
from miniscope_core.errors import ParameterError
from miniscope_core.settings import Settings

# The order in which a newcomer needs them.
_COMMANDS = (
    "demo",
    "inspect",
    "preview",
    "run",
    "status",
    "plot",
    "compare",
    "ingest",
    "process",
    "curate",
    "parameters",
    "serve",
    "doctor",
    "gc",
)


_ADDRESSES = tuple(f"MINISCOPE_{name}" for name in ("DATABASE_URL", "STORE_URL", "STORE_OPTIONS", "SCRATCH_DIR"))


class _Ordered(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=_COMMANDS.index)


app = typer.Typer(
    cls=_Ordered,
    help="From a folder of miniscope video to cells in a database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class Common:
    """The global options."""

    quiet: bool
    verbose: bool

    @property
    def settings(self) -> Settings:
        """Settings from the environment, in one line of error where they make no sense."""
        return read_settings()

    def progress(self) -> ProgressBar:
        """Return a receiver of progress that draws bars, unless quiet."""
        return ProgressBar(self.quiet)

    def say(self, text: str) -> None:
        """Print what was done, unless quiet."""
        if not self.quiet:
            out.print(text, highlight=False, soft_wrap=True)


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises
    ------
    ParameterError
        When a variable's value makes no sense.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"MINISCOPE_{str(e['loc'][0]).upper()}: got {e['input']!r}, {e['msg']}" for e in error.errors()
        )
        raise ParameterError(f"Settings are not valid: {problems}.") from error


def common(context: typer.Context) -> Common:
    """Return the global options of a command's context."""
    found: Any = context.obj
    return found if isinstance(found, Common) else Common(quiet=False, verbose=False)


def use_home(home: Path) -> None:
    """Keep everything below one folder from here on, whatever addresses the environment names.

    Flows read their settings from the environment of their process, so that is where it is written.
    """
    ignored = [name for name in _ADDRESSES if os.environ.pop(name, None)]
    if ignored:
        err.print(f"Not used, everything lies below {home}: {', '.join(ignored)}", soft_wrap=True, highlight=False)
    os.environ["MINISCOPE_HOME"] = str(home.expanduser().absolute())


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"miniscope-core {miniscope_core.__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder with database, store and scratch files, before all MINISCOPE_ addresses."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print the flows' log as well.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Read the global options; they come before the command."""
    if home is not None:
        use_home(home)
    context.obj = Common(quiet=quiet, verbose=verbose)
