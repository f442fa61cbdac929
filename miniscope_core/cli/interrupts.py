"""Ctrl-C during a flow: one line, a few seconds to let go of things, then the end."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

import psutil

from miniscope_core.cli.console import err

_GRACE_S: Final = 5.0
SCRATCH_GRACE_S: Final = 30.0
"""For an engine alone: the working files of a long recording take some time to remove, and nothing else would."""


@contextlib.contextmanager
def ends_on_interrupt(grace_s: float = _GRACE_S) -> Iterator[None]:
    """End the program on Ctrl-C or SIGTERM, at the latest after a few seconds.

    A temporary Prefect server gets the terminal's Ctrl-C too and dies of it; Prefect's client would then ask it for
    minutes. What a run has claimed is let go while the interrupt passes through; what could not be lapses by itself.

    Parameters
    ----------
    grace_s
        How long clean-up may take, seconds.
    """
    handled = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in handled}

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)
        err.print("Interrupted. Nothing is half-written: run it again to go on.")
        last = threading.Timer(grace_s, _end, [128 + number])
        last.daemon = True
        last.start()
        raise KeyboardInterrupt

    for number in handled:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(status: int) -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            child.terminate()
    os._exit(status)
