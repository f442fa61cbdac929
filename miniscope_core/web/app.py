"""The application: static files by a fixed list, the interface, and how errors are told."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from miniscope_core.errors import (
    ConflictError,
    DatabaseError,
    DraftError,
    MiniscopeError,
    NotFoundError,
    StoreError,
)
from miniscope_core.pipeline.curate import Curated
from miniscope_core.settings import Settings
from miniscope_core.web.context import Context
from miniscope_core.web.security import LOOPBACK_NAMES, Guard
from miniscope_core.web.views import router

_log = logging.getLogger(__name__)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_STATUS: Final[tuple[tuple[type[MiniscopeError], int], ...]] = (
    (NotFoundError, 404),
    (DraftError, 409),
    (ConflictError, 409),
    (DatabaseError, 503),
    (StoreError, 503),
)
"""What errors are for a browser; any other of ours is a request that makes no sense."""


def create_app(
    settings: Settings,
    *,
    curator: str,
    token: str | None = None,
    on_submit: Callable[[Curated], None] | None = None,
    hosts: Iterable[str] | None = LOOPBACK_NAMES,
) -> ASGIApp:
    """Make the application.

    Parameters
    ----------
    settings
        Where the database and the store are.
    curator
        Who decides: the author of submissions, unless the person before a browser gives another name there.
    token
        What a browser has to show once, by opening ``/?token=…``; None: nothing is asked.
    on_submit
        Called with every curation that was submitted, in a thread of its own; when it fails, the person is told and
        the submission stays.
    hosts
        Names that requests may be addressed to, without port; None: any, where the token protects.

    Raises
    ------
    ParameterError
        When the curator's name is none.
    DatabaseError
        When there is no database yet, or it is of another version.
    """
    context = Context(settings, curator, on_submit)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        context.close()

    # No pages of documentation: theirs come from elsewhere, and a browser may load nothing from there.
    app = FastAPI(title="miniscope curation", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.state.context = context
    app.include_router(router)
    _serve_static(app)
    app.add_exception_handler(MiniscopeError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    return Guard(app, token, hosts)


def _serve_static(app: FastAPI) -> None:
    """Serve the files of the package that there are now, each read once; no path of a request is opened."""
    folder = resources.files("miniscope_core.web") / "static"
    for file in folder.iterdir():
        suffix = f".{file.name.rpartition('.')[2]}"
        if suffix in _TYPES:
            path = "/" if file.name == "index.html" else f"/static/{file.name}"
            _add_file(app, path, file.read_bytes(), _TYPES[suffix])
    # Browsers ask for it unbidden.
    _add_file(app, "/favicon.ico", (folder / "icon.svg").read_bytes(), _TYPES[".svg"])


def _add_file(app: FastAPI, path: str, body: bytes, media_type: str) -> None:
    def answer() -> Response:
        return Response(body, media_type=media_type)

    app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)


# -- errors -------------------------------------------------------------------------------------------------
def _told(_: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 422)
    if status == 503:
        _log.warning("%s", error)
    return JSONResponse({"error": str(error), "kind": type(error).__name__}, status)


def _invalid(_: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    problems = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in found[:5])
    return JSONResponse({"error": f"Request cannot be read: {problems}.", "kind": "ParameterError"}, 422)


def _http(_: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    return JSONResponse({"error": str(detail), "kind": "HTTP"}, status)


def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(
        {"error": "Something unexpected went wrong; the server's log has the details.", "kind": "Unexpected"}, 500
    )
