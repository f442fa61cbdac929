"""Whether the Prefect server that flows would talk to is there."""

from typing import Final

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from miniscope_core.errors import MiniscopeError

_LOCAL_API: Final = "http://127.0.0.1:4200/api"
_ANSWER_WITHIN_S: Final = 10.0


class ServerError(MiniscopeError, ConnectionError):
    """No Prefect server answers."""


def find_server() -> str:
    """Return the address of the Prefect server to use: the one that is set, or the one on this machine.

    Raises
    ------
    ServerError
        When none answers.
    """
    address = PREFECT_API_URL.value() or _LOCAL_API
    try:
        httpx.get(f"{address}/health", timeout=_ANSWER_WITHIN_S).raise_for_status()
    except httpx.HTTPError as error:
        raise ServerError(
            f"No Prefect server answers at {address}: {error}. Start one in another terminal by "
            "`prefect server start`, or name yours in PREFECT_API_URL."
        ) from error
    return address


def describe_server() -> str:
    """Describe the Prefect server that is set in a line.

    Raises
    ------
    ServerError
        When one is set and does not answer.
    """
    if not PREFECT_API_URL.value():
        return "no server set (PREFECT_API_URL): flows start one for their time"
    address = find_server()
    with get_client(sync_client=True) as client:
        return f"server {client.api_version()} at {address} answers"
