"""Which failures pass by themselves: a service that is away for a moment, and nothing else."""

import errno
from collections.abc import Iterator
from typing import Final

from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError
from sqlalchemy.exc import InterfaceError, OperationalError

_NEVER: Final = (FileNotFoundError, PermissionError, NotADirectoryError, ValueError, LookupError)
_TRANSIENT: Final = (
    ConnectionError,
    TimeoutError,
    BotoConnectionError,
    HTTPClientError,
    OperationalError,
    InterfaceError,
)
_LASTING: Final = (
    "readonly database",
    "read-only transaction",
    "no such table",
    "no such column",
    "unable to open database file",
    "disk is full",
    "no space left",
    "malformed",
    "not a database",
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
)
# What s3fs makes of a service that answers "slow down", "unavailable" or "internal error".
_BUSY: Final = frozenset({errno.EBUSY, errno.EAGAIN, getattr(errno, "EREMOTEIO", errno.EIO)})


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def is_transient(error: BaseException) -> bool:
    """Tell whether trying again later may help.

    A broken file, a bad parameter, a missing permission or a full disk stay what they are; a refused connection, a
    service's time-out or a locked database pass. The error and its causes are asked, outermost first.

    Parameters
    ----------
    error
        What was raised.

    Returns
    -------
    bool
        True for connection and time-out errors of the network, botocore and SQLAlchemy, and a service that is busy.
    """
    for link in _chain(error):
        if isinstance(link, _NEVER):
            return False
        if isinstance(link, _TRANSIENT):
            return not any(text in str(link).lower() for text in _LASTING)
        if isinstance(link, OSError) and link.errno in _BUSY:
            return True
    return False
