"""Progress of long work: lines in the run's log, a progress artifact on its page, a bar where a terminal listens."""

import logging
import time
from typing import Final
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError, PrefectHTTPStatusError
from prefect.logging import get_run_logger

from miniscope_core.progress import Progress

_LOG_EVERY_S: Final = 10.0
_PAGE_EVERY_S: Final = 5.0
# What is done sooner needs no bar on the page: it would be looked at only when it is full.
_PAGE_AFTER_S: Final = 5.0
_listeners: list[Progress] = []


def listen(progress: Progress) -> None:
    """Send the progress of every task of this process to one more receiver, such as a bar in the terminal."""
    _listeners.append(progress)


def stop_listening(progress: Progress) -> None:
    """Undo :func:`listen`."""
    _listeners.remove(progress)


class RunProgress:
    """Receives progress inside a task run; begins a new log line for each stage.

    Parameters
    ----------
    page_after_s
        Show a progress artifact on the run's page once the work has lasted so long, seconds; None for never.
    """

    def __init__(self, page_after_s: float | None = _PAGE_AFTER_S) -> None:
        self._logger: logging.Logger | logging.LoggerAdapter[logging.Logger]
        try:
            self._logger = get_run_logger()
        except MissingContextError:
            self._logger, page_after_s = logging.getLogger(__name__), None
        self._page_after_s = page_after_s
        self._artifact: UUID | None = None
        self._stage = ""
        self._began = time.monotonic()
        self._logged_at = self._shown_at = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Note that ``done`` of ``total`` steps of ``stage`` are finished."""
        for listener in _listeners:
            listener(stage, done, total)
        now, new, last = time.monotonic(), stage != self._stage, done >= total
        self._stage = stage
        percent = 100 * done / max(total, 1)
        if new or last or now - self._logged_at > _LOG_EVERY_S:
            self._logged_at = now
            self._logger.info("%s: %.0f %%", stage, percent)
        if self._page_after_s is None or now - self._began < self._page_after_s:
            return
        if new or last or now - self._shown_at > _PAGE_EVERY_S:
            self._shown_at = now
            self._show(stage, percent)

    def _show(self, stage: str, percent: float) -> None:
        try:
            if self._artifact is None:
                made = create_progress_artifact(progress=percent, description=stage)
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, progress=percent, description=stage)
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            # Hours of work must not end because a bar could not be drawn.
            self._page_after_s = None
            self._logger.warning("Progress is not shown on this page any more: %s", error)
