"""What to say about the Prefect server that flows would talk to."""

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from miniscope_core.errors import DatabaseError


def describe_server() -> str:
    """Describe the Prefect server in a line.

    Raises
    ------
    DatabaseError
        When a server is configured and does not answer.
    """
    address = PREFECT_API_URL.value()
    if not address:
        return "no server set (PREFECT_API_URL): flows start one for their time"
    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
        if error is not None:
            raise DatabaseError(f"Prefect server at {address} does not answer: {error}. Start it: prefect server start")
        return f"server {client.api_version()} at {address} answers"
