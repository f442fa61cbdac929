"""Which failures pass by themselves: a service that is away for a moment, and nothing else."""

from collections.abc import Iterator

from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError
from sqlalchemy.exc import InterfaceError, OperationalError

_NEVER = (FileNotFoundError, PermissionError, NotADirectoryError, ValueError, LookupError)
_TRANSIENT = (ConnectionError, BotoConnectionError, HTTPClientError, OperationalError, InterfaceError)
_LASTING = (
    "readonly database",
    "no such table",
    "unable to open database file",
    "disk is full",
    "authentication failed",
)


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
        True for connection and time-out errors of the network, botocore and SQLAlchemy.
    """
    for link in _chain(error):
        if isinstance(link, _NEVER):
            return False
        if isinstance(link, _TRANSIENT):
            return not any(text in str(link) for text in _LASTING)
    return False
