"""The log lines of the core, sent to the run they belong to."""

import logging
from typing import Final

from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler

_CORE: Final = "miniscope_core"


def forward_logs() -> None:
    """Show what ``miniscope_core`` logs inside a run on the run's page; calling it again changes nothing.

    ``PREFECT_LOGGING_EXTRA_LOGGERS`` would do it only where it was set before Prefect was first imported, and then
    for warnings alone, because nobody sets the logger's level. Here the level is Prefect's own
    (``PREFECT_LOGGING_LEVEL``) unless the logger has one already.
    """
    logger = logging.getLogger(_CORE)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.getLogger("prefect").getEffectiveLevel())
    if not any(isinstance(handler, APILogHandler) for handler in logger.handlers):
        handler = APILogHandler()
        handler.addFilter(_in_a_run)
        logger.addHandler(handler)


def _in_a_run(record: logging.LogRecord) -> bool:
    """Tell whether Prefect knows a run to send the line to; threads of an engine are in none."""
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None
