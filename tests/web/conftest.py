"""Fixtures of the page's tests: an archive to curate, the page running, and a browser to look at it."""

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright
from starlette.types import ASGIApp

from miniscope_core.models import TaskKey
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from miniscope_core.web import create_app
from tests.archives import settings_for
from tests.web.archives import make_archive
from tests.web.browsing import Curator, find_chromium, launch

UNITS, FRAMES, SIZE_PX = 40, 5000, 120


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TaskKey]:
    """Return a folder with an archive, to be copied, and the processing in it."""
    home = tmp_path_factory.mktemp("page")
    return home, make_archive(home, UNITS, FRAMES, SIZE_PX)


@pytest.fixture
def home(made: tuple[Path, TaskKey], tmp_path: Path) -> Path:
    """Return a folder with an archive of the test's own."""
    shutil.copytree(made[0], tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def task(made: tuple[Path, TaskKey]) -> TaskKey:
    """Return the processing of 40 units."""
    return made[1]


@pytest.fixture
def settings(home: Path) -> Settings:
    """Return the settings of the archive."""
    return settings_for(home)


@pytest.fixture
def archive(settings: Settings) -> Iterator[Archive]:
    """Return the archive, opened."""
    with Archive.open(settings) as archive:
        yield archive


@contextlib.contextmanager
def running(app: ASGIApp) -> Iterator[str]:
    """Serve an application from a thread of ours; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="critical", access_log=False, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def serve_page(settings: Settings) -> Iterator[Callable[..., httpx.Client]]:
    """Return what serves the page of the archive and gives a client of it, as the page itself asks."""
    with contextlib.ExitStack() as stack:

        def serve(**options: Any) -> httpx.Client:
            app = create_app(settings, **{"curator": "Ada"} | options)
            address = stack.enter_context(running(app))
            headers = {"X-Miniscope": "1", "Sec-Fetch-Site": "same-origin"}
            return stack.enter_context(httpx.Client(base_url=address, headers=headers, timeout=60))

        yield serve


@pytest.fixture
def client(serve_page: Callable[..., httpx.Client]) -> httpx.Client:
    """Return a client of the page."""
    return serve_page()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the machine's Chromium; skip where there is none."""
    if find_chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def ada(browser: Browser, serve_page: Callable[..., httpx.Client]) -> Iterator[Curator]:
    """Return a person before a browser of their own; what the browser complained of is an error."""
    # The server outlives the browser: a page that still asks must not find it gone.
    curator = Curator(browser)
    yield curator
    curator.context.close()
    assert [text for text in curator.wrong if not any(part in text for part in curator.expected)] == []


@pytest.fixture
def address(client: httpx.Client) -> str:
    """Return the address of the page."""
    return str(client.base_url)
