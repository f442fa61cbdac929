"""How long work tells where it is: a callable that knows neither terminals nor Prefect."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a piece of long work.

    Calls come from one thread, in order, and are cheap to ignore; a receiver must return quickly.
    """

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` steps of ``stage`` are finished.

        Parameters
        ----------
        stage
            What is being done, in a word or two: ``"motion correction"``.
        done
            Steps finished, from 0 to ``total``. The last call of a stage has ``done == total``.
        total
            Steps of this stage, at least 1.
        """


def silent(stage: str, done: int, total: int) -> None:
    """Ignore progress."""
