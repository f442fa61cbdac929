"""The command line: options in, one call of the library or a flow, tables and pictures out; it knows no science."""

from miniscope_core.cli import (
    comparing,
    curating,
    exploring,
    keeping,
    parameters,
    previewing,
    processing,
    recordings,
    systems,
)
from miniscope_core.cli.app import app
from miniscope_core.cli.console import one_line_errors

__all__ = [
    "app",
    "comparing",
    "curating",
    "exploring",
    "keeping",
    "main",
    "parameters",
    "previewing",
    "processing",
    "recordings",
    "systems",
]


def main() -> None:
    """Run the program ``miniscope``."""
    with one_line_errors():
        app()
