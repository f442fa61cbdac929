"""Running the page: an address to listen on, a browser to open, until somebody ends it."""

import logging
import queue
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import uvicorn

from miniscope_core.errors import ParameterError
from miniscope_core.models import TaskKey
from miniscope_core.pipeline.curate import Curated
from miniscope_core.settings import Settings
from miniscope_core.web.app import create_app
from miniscope_core.web.security import LOOPBACK_NAMES, check_exposure, is_loopback

_log = logging.getLogger(__name__)
PORT: Final = 8711
_BACKLOG: Final = 128


def serve(
    settings: Settings,
    *,
    curator: str,
    host: str = "127.0.0.1",
    port: int = PORT,
    token: str | None = None,
    on_submit: Callable[[Curated], None] | None = None,
    open_browser: bool = False,
    task: TaskKey | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the curation page until it is interrupted.

    Parameters
    ----------
    settings
        Where the database and the store are.
    curator
        Who decides: the author of submissions, unless the person before a browser gives another name there.
    host
        Address to listen on. Any but loopback needs a token.
    port
        Port to listen on; 0: any free one.
    token
        What a browser has to show once; :func:`~miniscope_core.web.security.new_token` makes one.
    on_submit
        Called with every curation that was submitted, in a thread of its own.
    open_browser
        Whether to open the page in the person's browser.
    task
        Processing to show first.
    on_ready
        Called with the address to open, token included, once the server listens.

    Raises
    ------
    ParameterError
        When others could reach it without a token, the address cannot be listened on, or the curator's name is none.
    DatabaseError
        When there is no database yet, or it is of another version.
    """
    check_exposure(host, token)
    app = create_app(
        settings,
        curator=curator,
        token=token,
        on_submit=on_submit,
        hosts={*LOOPBACK_NAMES, host.lower()} if is_loopback(host) else None,
    )
    with _listening(host, port) as listener:
        address = page_address(host, listener.getsockname()[1], token, task)
        # Its log of requests would have the token in it.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, ws="none", server_header=False, timeout_graceful_shutdown=3
        )
        if on_ready is not None:
            on_ready(address)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])


def serve_in_background(settings: Settings, **options: Any) -> str:
    """Serve the page in a thread of its own, as long as this process lives, and return its address.

    Parameters
    ----------
    settings
        Where the database and the store are.
    **options
        Of :func:`serve`.

    Raises
    ------
    ParameterError, DatabaseError
        As :func:`serve` does, before it listens.
    """
    told: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            serve(settings, on_ready=told.put, **options)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it
            told.put(error)

    threading.Thread(target=run, name="curation page", daemon=True).start()
    answer = told.get()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def page_address(host: str, port: int, token: str | None, task: TaskKey | None) -> str:
    """Return the address to open in a browser.

    Parameters
    ----------
    host
        Address listened on; where it is every address of the machine, its name stands for it.
    port
        Port listened on.
    token
        Shown once, and taken out of the address by the page.
    task
        Processing to show.
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::", "") else host
    if ":" in name and not name.startswith("["):
        name = f"[{name}]"
    asked = "" if token is None else f"?token={quote(token, safe='')}"
    return f"http://{name}:{port}/{asked}" + ("" if task is None else f"#/{quote(str(task), safe='/:')}")


def _listening(host: str, port: int) -> socket.socket:
    """Listen before the server runs: a taken port is told at once, and who is told the address can connect."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        # The protocol is named: only then does asyncio send small answers at once (TCP_NODELAY), not 40 ms later.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(_BACKLOG)
        except BaseException:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        raise ParameterError(
            f"Cannot listen on {host}:{port}: {error}. Give another port, or 0 for any free one."
        ) from error
    return listener
