"""Who may ask what of the page: hosts, origins, tokens, headers, sizes; and what is never opened or run."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from miniscope_core import web
from miniscope_core.errors import DatabaseError, ParameterError
from miniscope_core.models import TaskKey
from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive
from miniscope_core.web import create_app, new_token, serve
from miniscope_core.web.context import Context
from miniscope_core.web.security import COOKIE, MAX_BODY_BYTES
from miniscope_core.web.serving import page_address
from tests.archives import settings_for, snapshot

STATIC = Path(web.__file__).parent / "static"
RUNNING = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc")
"""What makes code of text."""
TOKEN = "a-token-for-the-tests-only"


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/session", "/api/units", "/nothing", "/favicon.ico"])
def test_every_answer_has_the_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_name_that_was_bound_to_loopback_by_somebody_else_is_refused(client: httpx.Client, host: str) -> None:
    assert client.get("/api/session", headers={"Host": host}).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost:1234", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_own_names_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/api/session", headers={"Host": host}).status_code == 200


FOREIGN = [
    ({"Origin": "https://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"X-Miniscope": None}, 403),
    ({"Content-Type": "text/plain"}, 415),
    ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
]


@pytest.mark.parametrize(("changes", "status"), FOREIGN)
def test_change_that_another_site_could_send_is_refused(
    client: httpx.Client, archive: Archive, task: TaskKey, changes: dict[str, str | None], status: int
) -> None:
    before = snapshot(archive)
    request = client.build_request("POST", "/api/draft/open", json={"task": str(task)})
    for name, value in changes.items():
        request.headers.pop(name, None)
        if value is not None:
            request.headers[name] = value
    answer = client.send(request)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert snapshot(archive) == before


def test_own_origin_may_change(client: httpx.Client, task: TaskKey) -> None:
    origin = str(client.base_url).rstrip("/")
    assert client.post("/api/draft/open", json={"task": str(task)}, headers={"Origin": origin}).status_code == 200


def test_another_site_cannot_read_through_the_browser(client: httpx.Client) -> None:
    assert client.get("/api/processings", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    # A link to the page is none of that: it shows nothing by itself.
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_large_body_is_refused(client: httpx.Client, task: TaskKey) -> None:
    answer = client.post("/api/draft/open", json={"task": str(task), "parent": "x" * MAX_BODY_BYTES})
    assert answer.status_code == 413


def test_body_of_unknown_length_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post("/api/draft/open", content=iter([b"{}"]), headers=headers)
    assert answer.status_code == 411


def test_note_of_a_page_is_kept_and_one_of_a_book_refused(client: httpx.Client, task: TaskKey) -> None:
    revision = client.post("/api/draft/open", json={"task": str(task)}).json()["revision"]
    body = {"task": str(task), "revision": revision}
    assert client.post("/api/draft/submit", json=body | {"note": "x" * 20_001}).status_code == 422
    assert client.post("/api/draft/submit", json=body | {"note": "x" * 20_000}).status_code == 200


# -- the token ------------------------------------------------------------------------------------------------
@pytest.fixture
def guarded(serve_page: Callable[..., httpx.Client]) -> httpx.Client:
    return serve_page(token=TOKEN, hosts=None)


def test_without_the_token_nothing_is_told(guarded: httpx.Client, task: TaskKey) -> None:
    for path in ("/api/session", "/api/processings", "/api/nothing", f"/api/field?task={task}"):
        assert guarded.get(path).status_code == 401
    assert guarded.post("/api/draft/open", json={"task": str(task)}).status_code == 401


def test_page_itself_can_be_loaded_to_say_that_the_token_is_missing(guarded: httpx.Client) -> None:
    assert guarded.get("/").status_code == 200
    assert guarded.get("/static/main.js").status_code == 200


def test_token_shown_once_is_a_cookie_from_then_on(guarded: httpx.Client) -> None:
    answer = guarded.get(f"/?token={TOKEN}")
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/api/session").json()["curator"] == "Ada"


@pytest.mark.parametrize("token", ["wrong", "", TOKEN[:-1], TOKEN + "x", "ä" * 20])
def test_wrong_token_is_refused_and_leaves_no_cookie(guarded: httpx.Client, token: str) -> None:
    answer = guarded.get("/", params={"token": token})
    # An empty one was not shown at all.
    assert answer.status_code == (401 if token else 200)
    assert "set-cookie" not in answer.headers
    assert guarded.get("/api/session").status_code == 401


def test_cookie_of_another_token_is_refused(guarded: httpx.Client) -> None:
    assert guarded.get("/api/session", headers={"Cookie": f"{COOKIE}={TOKEN}"}).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "lab.example"])
def test_other_hosts_than_loopback_need_a_token(settings: Settings, host: str) -> None:
    with pytest.raises(ParameterError, match="without a token"):
        serve(settings, curator="Ada", host=host, port=0)


@pytest.mark.parametrize("token", ["", "short", "with\nline breaks in it", "täöüñ" * 5])
def test_token_that_can_be_guessed_is_refused(settings: Settings, token: str) -> None:
    with pytest.raises(ParameterError, match="Token of"):
        serve(settings, curator="Ada", token=token, port=0)


def test_new_tokens_differ_and_are_long() -> None:
    assert new_token() != new_token()
    assert len(new_token()) >= 32


def test_taken_port_is_told(settings: Settings, client: httpx.Client) -> None:
    with pytest.raises(ParameterError, match="Give another port"):
        serve(settings, curator="Ada", port=client.base_url.port or 0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/?token=a%2Fb#/s/2021-01-01T00:00:01/0/0"),
        ("::1", "http://[::1]:80/?token=a%2Fb#/s/2021-01-01T00:00:01/0/0"),
    ],
)
def test_address_to_open_holds_token_and_processing(host: str, expected: str, task: TaskKey) -> None:
    key = task.model_copy(update={"recording": task.recording.model_copy(update={"subject": "s"})})
    assert page_address(host, 80, "a/b", key) == expected


@pytest.mark.parametrize("curator", ["", " Ada", "Ada\n", "x" * 256])
def test_author_has_a_name(settings: Settings, curator: str) -> None:
    with pytest.raises(ParameterError, match="Curator"):
        create_app(settings, curator=curator)


def test_missing_database_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="No database"):
        create_app(settings_for(tmp_path), curator="Ada")


# -- what is opened -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/",
        "/static/nothing.js",
        "/app.py",
        "/docs",
        "/openapi.json",
    ],
)
def test_only_files_of_the_list_are_served(client: httpx.Client, path: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert client.send(request).status_code == 404


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "subject1", "a/b/c/d", "x" * 2000, "a/b/c/d/e/f"])
def test_key_that_is_none_is_refused(client: httpx.Client, key: str) -> None:
    answer = client.get("/api/field", params={"task": key})
    assert answer.status_code == 422
    assert answer.json()["error"]


def test_unknown_processing_is_not_found(client: httpx.Client) -> None:
    answer = client.get("/api/field", params={"task": "subject9/2021-01-01T00:00:01/0/0"})
    assert (answer.status_code, answer.json()["kind"]) == (404, "NotFoundError")


def test_what_was_not_expected_is_logged_and_not_told(
    serve_page: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret path")

    monkeypatch.setattr("miniscope_core.web.views.list_processings", fail)
    answer = serve_page().get("/api/processings")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "server's log" in answer.json()["error"]
    assert "secret path" in caplog.text


def test_nothing_of_the_page_comes_from_elsewhere_or_runs_text() -> None:
    for file in STATIC.iterdir():
        text = file.read_text()
        foreign = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3.org"}
        assert foreign == set(), file.name
        for name in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "srcdoc",
        ):
            assert name not in text, f"{name} in {file.name}"
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"\son\w+=|<style|style=|<script(?![^>]*\ssrc=)", page)


def test_state_is_closed_with_the_server(settings: Settings) -> None:
    context = Context(settings, "Ada")
    context.close()
    context.close()
