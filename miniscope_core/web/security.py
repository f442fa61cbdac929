"""Who may ask what: the token, the names the server answers to, requests from other sites, and headers.

On loopback whoever is logged in to the machine may look, unless there is a token; elsewhere there must be one. A page
of another site that a browser has open must not act for its person: it cannot read answers (no CORS), it is refused by
``Origin`` and ``Sec-Fetch-Site``, it cannot send the header that every change needs, and a name that was bound anew to
127.0.0.1 (DNS rebinding) is not one of ours.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from miniscope_core.errors import ParameterError

COOKIE: Final = "miniscope_curation"
CHANGE_HEADER: Final = "X-Miniscope"
"""Must be there on every change: a form of another site cannot send it, a script not without being allowed to."""
MAX_BODY_BYTES: Final = 2**20
MIN_TOKEN_LENGTH: Final = 16
_SAFE: Final = frozenset({"GET", "HEAD"})
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, token: str | None) -> None:
    """Refuse to listen where others can reach it without a token.

    Raises
    ------
    ParameterError
        When there is none, or one that can be guessed.
    """
    if token is None and not is_loopback(host):
        raise ParameterError(
            f"Cannot serve the curation page at {host} without a token: everybody in the network could decide. "
            "Give one, or listen on 127.0.0.1."
        )
    if token is not None and (len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable()):
        raise ParameterError(
            f"Token of {len(token)} characters: expected at least {MIN_TOKEN_LENGTH} printable ones of ASCII."
        )


class Guard:
    """ASGI middleware that lets through what may be asked, and puts the headers on every answer.

    Parameters
    ----------
    app
        What it guards.
    token
        What a browser has to show once; None: nothing is asked.
    hosts
        Names that requests may be addressed to, without port; None: any, as where the token protects.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Iterable[str] | None = LOOPBACK_NAMES) -> None:
        self._app = app
        self._token = token
        self._hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        shown = self._shown_token(scope)

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer[name] = value
                if shown is not None and self._token is not None and _same(shown, self._token):
                    cookie = f"{COOKIE}={_cookie_of(self._token)}; Path=/; HttpOnly; SameSite=Strict"
                    answer.append("Set-Cookie", cookie)
            await send(message)

        refused = self._refusal(scope, headers, shown)
        if refused is not None:
            status, reason = refused
            await JSONResponse({"error": reason}, status)(scope, receive, guarded_send)
            return
        await self._app(scope, _bounded(receive, headers), guarded_send)

    def _shown_token(self, scope: Scope) -> str | None:
        if self._token is None or scope["path"] != "/":
            return None
        found = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        return found[0] if found else None

    def _refusal(self, scope: Scope, headers: Headers, shown: str | None) -> tuple[int, str] | None:
        """Return status and reason of what may not be asked."""
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self._hosts is not None and name.lower() not in self._hosts:
            return 421, f"This server does not answer to the name {name[:100]!r}."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return 403, "Requests of other sites are refused."
        changes = scope["method"] not in _SAFE
        is_api = scope["path"].startswith("/api/")
        if (changes or is_api) and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "Requests of other sites are refused."
        if shown is not None and self._token is not None and not _same(shown, self._token):
            return 401, "Wrong token: open the address that the server printed."
        if is_api and not self._known(headers):
            return 401, "Not signed in: open the address with the token that the server printed."
        if changes:
            return _refused_change(headers)
        return None

    def _known(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        values = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
        expected = _cookie_of(self._token)
        return any(name == COOKIE and _same(value, expected) for name, _, value in values)


def _refused_change(headers: Headers) -> tuple[int, str] | None:
    if CHANGE_HEADER not in headers:
        return 403, f"A change needs the header {CHANGE_HEADER}."
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        return 415, "A change is sent as application/json."
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal()):
        return 411, "A change says how long it is."
    if int(length) > MAX_BODY_BYTES:
        return 413, f"Request of {int(length)} bytes: expected at most {MAX_BODY_BYTES}."
    return None


def _bounded(receive: Receive, headers: Headers) -> Receive:
    """Cut a body that is longer than it said; servers do so too, but nothing here leans on it."""
    left = min(int(headers.get("content-length") or 0), MAX_BODY_BYTES)

    async def bounded() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            body = message.get("body", b"")[:left]
            left -= len(body)
            message = {**message, "body": body}
        return message

    return bounded


def _cookie_of(token: str) -> str:
    """Return what the cookie holds: not the token itself, for cookies are sent to every port of a machine."""
    return hashlib.sha256(b"miniscope curation cookie " + token.encode()).hexdigest()


def _same(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode(), second.encode())
