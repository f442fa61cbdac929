"""The interface: what it tells of a processing, drafts edit by edit, submissions, versions."""

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from miniscope_core import models as m
from miniscope_core.curation.decisions import Reject
from miniscope_core.curation.policies import Manual
from miniscope_core.models import CurationKey, TaskKey
from miniscope_core.pipeline.curate import Curated, submit_curation
from miniscope_core.pipeline.drafts import edit_draft, find_draft
from miniscope_core.pipeline.merges import merged_arrays
from miniscope_core.pipeline.published import published_result
from miniscope_core.pipeline.reviews import request_review, review_status
from miniscope_core.plots.images import outline
from miniscope_core.quality.similarity import cosines
from miniscope_core.storage.archive import Archive
from miniscope_core.web.packing import pack, unpack
from tests.archives import rows, snapshot
from tests.web.conftest import FRAMES, SIZE_PX, UNITS

NOTE = "<img src=x onerror=alert(1)> \"quotes\" & 'more' </script> ‮ é 漢字\nsecond line"


class Page:
    """Asks as the page does."""

    def __init__(self, client: httpx.Client, task: TaskKey) -> None:
        self.client, self.task = client, task
        self.draft: dict[str, Any] = {}

    def get(self, path: str, **query: Any) -> Any:
        return self._get(path, query).json()

    def packed(self, path: str, **query: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return unpack(self._get(path, query).content)

    def _get(self, path: str, query: dict[str, Any]) -> httpx.Response:
        answer = self.client.get(f"/api/{path}", params={"task": str(self.task)} | query)
        assert answer.status_code == 200, answer.text
        return answer

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.client.post(f"/api/draft/{path}", json={"task": str(self.task)} | body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def open(self, **how: Any) -> dict[str, Any]:
        self.draft = self.post("open", **how)
        return self.draft

    def change(self, path: str, **body: Any) -> dict[str, Any]:
        self.draft = self.post(path, revision=self.draft["revision"], **body)
        return self.draft

    def edit(self, **edit: Any) -> dict[str, Any]:
        return self.change("edit", edit=edit)

    def unit(self, unit: int) -> list[Any] | None:
        return next((row[1:] for row in self.draft["units"] if row[0] == unit), None)

    def wait_for_traces(self) -> None:
        self.get("field")
        while not self.get("progress")["ready"]:
            threading.Event().wait(0.01)


@pytest.fixture
def page(client: httpx.Client, task: TaskKey) -> Page:
    return Page(client, task)


# -- a processing -----------------------------------------------------------------------------------------------
def test_facts_are_those_of_the_result(page: Page) -> None:
    facts = page.get("field")
    assert (facts["shape"], facts["frame_count"], facts["unit_count"]) == ([SIZE_PX, SIZE_PX], FRAMES, UNITS)
    assert set(facts["images"]) == {"average", "correlation", "pnr", "max", "template"}
    assert (facts["begin_s"], facts["end_s"]) == (0, pytest.approx((FRAMES - 1) / 20))


@pytest.mark.parametrize("name", ["average", "correlation"])
def test_images_arrive_within_a_step(page: Page, archive: Archive, name: str) -> None:
    meta, arrays = page.packed("image", name=name)
    expected = published_result(archive, page.task).images[name]
    step = (meta["high"] - meta["low"]) / 65535
    assert np.abs(meta["low"] + arrays["values"] * step - expected).max() <= step
    assert meta["from"] <= meta["to"]


def test_image_that_is_not_there_is_not_found(client: httpx.Client, task: TaskKey) -> None:
    answer = client.get("/api/image", params={"task": str(task), "name": "../template"})
    assert answer.status_code == 404


def test_quality_numbers_are_those_of_the_result_and_the_skewness_comes_later(page: Page, archive: Archive) -> None:
    result = published_result(archive, page.task)
    columns = page.get("units")["columns"]
    np.testing.assert_allclose(columns["snr"], result.snr, rtol=1e-4)
    assert columns["npix"] == np.diff(result.footprints.indptr).tolist()
    page.wait_for_traces()
    assert len(page.get("units")["columns"]["skewness"]) == UNITS


def test_contours_are_those_of_the_figures(page: Page, archive: Archive) -> None:
    result = published_result(archive, page.task)
    _, arrays = page.packed("contours")
    lines = np.split(arrays["points"], np.cumsum(arrays["length"])[:-1])
    expected = [line for unit in range(UNITS) for line in outline(result.footprints, unit, result.shape)]
    assert sorted(set(arrays["unit"].tolist())) == list(range(UNITS))
    for line, one in zip(lines, expected, strict=True):
        np.testing.assert_allclose(line, one, atol=1e-4)


def test_traces_come_with_the_frame_clock(page: Page, archive: Archive) -> None:
    result = published_result(archive, page.task)
    meta, arrays = page.packed("traces", unit=7, begin_s=10, end_s=20, columns=1000)
    frames = slice(meta["start"], meta["stop"])
    assert (meta["start"], meta["stop"], meta["step"]) == (200, 400, 1)
    np.testing.assert_array_equal(arrays["fluorescence_low"], result.fluorescence[7, frames])
    np.testing.assert_allclose(arrays["time_s"][:-1], result.timestamps_s[frames])
    assert len(arrays["time_s"]) == len(arrays["fluorescence_low"]) + 1


@pytest.mark.parametrize("query", [{"columns": 0}, {"columns": 10**6}, {"begin_s": "nan"}, {"unit": -1}, {"unit": "x"}])
def test_windows_that_make_no_sense_are_refused(client: httpx.Client, task: TaskKey, query: dict[str, Any]) -> None:
    answer = client.get("/api/traces", params={"task": str(task), "unit": 0, "columns": 100} | query)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Request cannot be read")


def test_unknown_unit_is_refused(client: httpx.Client, task: TaskKey) -> None:
    answer = client.get("/api/unit", params={"task": str(task), "unit": 999})
    assert (answer.status_code, answer.json()["kind"]) == (422, "CurationError")


def test_neighbours_overlap_or_correlate(page: Page, archive: Archive) -> None:
    result = published_result(archive, page.task)
    overlap = cosines(result.footprints, result.footprints) - np.eye(UNITS)
    unit = int(overlap.max(axis=1).argmax())
    page.open()
    meta, arrays = page.packed("unit", unit=unit)
    assert meta["correlated"] is False
    first = meta["neighbours"][0]
    assert first["unit_id"] == overlap[unit].argmax()
    assert first["cosine"] == pytest.approx(overlap[unit].max(), abs=1e-3)
    assert arrays["footprint"].max() == pytest.approx(result.footprints[[unit]].max())
    page.wait_for_traces()
    meta, _ = page.packed("unit", unit=unit)
    r = np.corrcoef(result.traces)[unit]
    for one in meta["neighbours"]:
        assert one["r"] == pytest.approx(r[one["unit_id"]], abs=0.05)


# -- drafts -----------------------------------------------------------------------------------------------------
def test_edits_are_kept_at_once_and_undone_without_limit(page: Page, archive: Archive) -> None:
    page.open()
    count = 12
    started = [page.unit(unit) for unit in range(count)]
    for unit in range(count):
        page.edit(kind="accept" if unit % 2 else "reject", unit_ids=[unit])
    assert [page.unit(unit)[0] for unit in range(count)] == [unit % 2 for unit in range(count)]  # type: ignore[index]
    stored = find_draft(archive, page.task, "Ada")
    assert stored is not None
    assert (len(stored.edits), stored.revision) == (count, count)
    for _ in range(count):
        page.change("undo")
    assert [page.unit(unit) for unit in range(count)] == started
    assert (page.draft["can_undo"], page.draft["can_redo"], page.draft["decided"]) == (False, True, [])
    for _ in range(count):
        page.change("redo")
    assert page.draft["decided"] == list(range(count))


def test_draft_is_there_again_with_undo_and_redo_after_the_server_was_restarted(
    serve_page: Callable[..., httpx.Client], task: TaskKey
) -> None:
    first = Page(serve_page(), task)
    first.open()
    first.edit(kind="set_type", unit_ids=[1, 2], mask_type="axon")
    first.edit(kind="merge", unit_ids=[3, 4], into=0)
    first.change("undo")
    second = Page(serve_page(), task)
    second.open()
    assert {name: second.draft[name] for name in first.draft} == first.draft
    assert second.unit(1) == [second.unit(1)[0], "axon", None, []]  # type: ignore[index]
    assert second.draft["next_redo"] == "merge 2 units"


def test_draft_that_was_changed_in_another_window_is_a_conflict_and_nothing_is_lost(page: Page) -> None:
    page.open()
    seen = page.draft["revision"]
    page.edit(kind="reject", unit_ids=[1])
    told = page.post("edit", 409, revision=seen, edit={"kind": "reject", "unit_ids": [2]})
    assert told["kind"] == "DraftError"
    assert "Nothing was lost" in told["error"]
    assert page.open()["decided"] == [1]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"kind": "reject", "unit_ids": [999]}, "No unit 999"),
        ({"kind": "split", "unit_id": 1}, "was not merged"),
        ({"kind": "merge", "unit_ids": [1, 1], "into": 0}, ""),
        ({"kind": "explode", "unit_ids": [1]}, "Request cannot be read"),
        ({"kind": "set_type", "unit_ids": [1], "mask_type": "<b>"}, "Request cannot be read"),
        ({"kind": "reject", "unit_ids": []}, "Request cannot be read"),
        ({"kind": "reject", "unit_ids": [1], "more": 1}, "Request cannot be read"),
    ],
)
def test_edit_that_cannot_be_made_changes_nothing(
    page: Page, archive: Archive, edit: dict[str, Any], said: str
) -> None:
    page.open()
    before = snapshot(archive)
    told = page.post("edit", 422, revision=0, edit=edit)
    assert said in told["error"]
    assert snapshot(archive) == before


def test_merged_unit_is_shown_before_anything_is_submitted(page: Page, archive: Archive) -> None:
    page.open()
    page.edit(kind="merge", unit_ids=[5, 2, 9], into=0)
    (merged,) = [row for row in page.draft["units"] if row[4]]
    assert merged == [UNITS, 1, None, None, [2, 5, 9]]
    assert page.unit(5) == [0, None, UNITS, []]
    expected = merged_arrays(archive, page.task, published_result(archive, page.task))(UNITS, (2, 5, 9))
    meta, arrays = page.packed("merged", unit=UNITS)
    assert meta["members"] == [2, 5, 9]
    assert meta["numbers"]["npix"] == expected.footprint.nnz
    assert set(arrays["unit"].tolist()) == {UNITS}
    _, traces = page.packed("traces", unit=UNITS, columns=FRAMES)
    np.testing.assert_array_equal(traces["traces_low"], expected.trace)
    np.testing.assert_array_equal(traces["residual_high"], expected.fluorescence - expected.trace)
    page.wait_for_traces()
    others = {one["unit_id"] for one in page.packed("unit", unit=UNITS)[0]["neighbours"]}
    assert not others & {2, 5, 9, UNITS}
    page.edit(kind="split", unit_id=UNITS)
    assert page.unit(UNITS) is None


# -- submitting ---------------------------------------------------------------------------------------------------
def test_submission_is_a_curation_that_answers_the_review(
    serve_page: Callable[..., httpx.Client], task: TaskKey, archive: Archive
) -> None:
    review = request_review(archive, task, Manual(), run="run-1")
    seen: list[Curated] = []
    called = threading.Event()

    def go_on(curated: Curated) -> None:
        seen.append(curated)
        called.set()

    page = Page(serve_page(on_submit=go_on), task)
    (item,) = page.get("processings")["processings"]
    assert [one["run"] for one in item["reviews"]] == ["run-1"]
    page.open()
    page.edit(kind="reject", unit_ids=[0, 1])
    page.edit(kind="set_type", unit_ids=[2], mask_type="dendrite")
    answer = page.change("submit", note=NOTE)
    assert answer["key"] == f"{task}/1"
    assert answer["runs"] == 1
    assert called.wait(30)
    assert [(str(one.key), one.runs) for one in seen] == [(f"{task}/1", ("run-1",))]
    (row,) = [row for row in rows(archive, m.Curation) if row["manual_curation"]]
    assert (row["curator"], row["curation_note"], row["parent_curation"]) == ("Ada", NOTE, 0)
    units = {row["unit_id"]: row for row in rows(archive, m.CurationUnit, curation_id=1)}
    assert [units[unit]["accepted"] for unit in (0, 1)] == [False, False]
    assert units[2]["mask_type"] == "dendrite"
    assert review_status(archive, task, review.review_id).answer == CurationKey(task=task, curation_id=1)
    assert find_draft(archive, task, "Ada") is None
    (item,) = page.get("processings")["processings"]
    assert item["reviews"] == []
    assert [one["note"] for one in item["curations"]] == ["", NOTE]
    assert page.get("versions")["versions"][0]["note"] == NOTE


def test_failure_of_what_follows_is_told_and_the_submission_stays(
    serve_page: Callable[..., httpx.Client], task: TaskKey, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Curated) -> None:
        raise RuntimeError("the store is full")

    page = Page(serve_page(on_submit=fail), task)
    page.open()
    told = page.change("submit", note="")["following"]
    while told["state"] == "running":
        told = page.client.get("/api/submission", params={"submission_id": told["submission_id"]}).json()
    assert (told["state"], told["message"]) == ("failed", "RuntimeError: the store is full")
    assert "the curation itself is kept" in caplog.text
    assert len(rows(archive, m.Curation)) == 2


def test_submission_that_nothing_follows_is_done(page: Page) -> None:
    page.open()
    assert page.change("submit")["following"]["state"] == "done"
    assert page.client.get("/api/submission", params={"submission_id": "x"}).status_code == 404


def test_who_submits_later_is_told_what_came_meanwhile(page: Page, archive: Archive, task: TaskKey) -> None:
    page.open()
    other = submit_curation(archive, task, [Reject(unit_ids=(3,))], curator="Grace")
    assert page.edit(kind="reject", unit_ids=[4])["newer"] == [f"{other.key} by Grace"]
    assert page.change("submit", note="mine")["newer"] == [f"{other.key} by Grace"]


def test_older_draft_cannot_be_submitted(page: Page, archive: Archive, task: TaskKey) -> None:
    page.open()
    edit_draft(archive, task, "Ada", 0, Reject(unit_ids=(1,)))
    assert page.post("submit", 409, revision=0)["kind"] == "DraftError"
    assert page.post("undo", 409, revision=0)["kind"] == "DraftError"


# -- versions -----------------------------------------------------------------------------------------------------
def test_draft_can_start_from_another_version(page: Page, archive: Archive, task: TaskKey) -> None:
    first = submit_curation(archive, task, [Reject(unit_ids=(0, 1, 2))], curator="Grace").key
    submit_curation(archive, task, [Reject(unit_ids=(5,))], curator="Grace")
    assert page.open()["parent"] == f"{task}/2"
    page.edit(kind="reject", unit_ids=[7])
    again = page.open(parent=str(first), anew=True)
    assert (again["parent"], again["decided"], again["can_redo"]) == (str(first), [], False)
    assert [page.unit(unit)[0] for unit in (0, 1, 2)] == [0, 0, 0]  # type: ignore[index]
    assert again["parent_units"] == again["units"]


def test_version_of_another_processing_is_refused_and_the_draft_stays(page: Page) -> None:
    page.open()
    page.edit(kind="reject", unit_ids=[7])
    told = page.post("open", 422, parent="subject1/2021-01-01T00:00:01/0/1/0", anew=True)
    assert "not of" in told["error"]
    assert page.open()["decided"] == [7]


def test_versions_are_listed_and_compared(page: Page, archive: Archive, task: TaskKey) -> None:
    result = published_result(archive, task)
    unit = int(np.flatnonzero(result.accepted)[0])
    key = submit_curation(archive, task, [Reject(unit_ids=(unit,))], curator="Grace", note="one").key
    newest, oldest = page.get("versions")["versions"]
    assert (newest["curator"], newest["note"], newest["manual"], newest["extracted"]) == ("Grace", "one", True, False)
    assert newest["accepted_count"] == int(result.accepted.sum()) - 1
    assert oldest["unit_count"] == UNITS
    expected = [{"unit_id": unit, "before": "accepted", "after": "rejected"}]
    assert page.get("diff", before="engine", after=str(key))["changes"] == expected
    assert page.get("diff", before=str(key), after=str(key))["changes"] == []


# -- packing ------------------------------------------------------------------------------------------------------
def test_packed_arrays_come_back_and_begin_where_a_browser_can_read_them() -> None:
    arrays = {
        "a": np.arange(3, dtype=np.uint16),
        "b": np.arange(6, dtype=np.float64).reshape(2, 3),
        "c": np.zeros((0, 2), np.float32),
        "d": np.array([1, -1], np.int32),
    }
    body = pack({"said": "é"}, arrays)
    meta, found = unpack(body)
    assert meta == {"said": "é"}
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    begin = 4 + int.from_bytes(body[:4], "little")
    assert begin % 8 == 0
    assert all(one["offset"] % 8 == 0 for one in json.loads(body[4:begin])["arrays"])


# -- who decides ---------------------------------------------------------------------------------------------
def test_each_person_before_a_browser_has_a_draft_and_a_name_of_their_own(client: httpx.Client, task: TaskKey) -> None:
    grace = {"X-Miniscope-Author": quote("Grace Müller")}
    assert client.get("/api/session", headers=grace).json()["curator"] == "Grace Müller"
    for headers in ({}, grace):
        opened = client.post("/api/draft/open", json={"task": str(task)}, headers=headers).json()
        assert opened["revision"] == 0
    body = {"task": str(task), "revision": 0}
    edit = {"kind": "reject", "unit_ids": [0]}
    assert client.post("/api/draft/edit", json=body | {"edit": edit}, headers=grace).status_code == 200
    assert client.post("/api/draft/submit", json=body).json()["newer"] == []
    answer = client.post("/api/draft/submit", json=body | {"revision": 1}, headers=grace).json()
    assert [text.rpartition(" by ")[2] for text in answer["newer"]] == ["Ada"]
    versions = client.get("/api/versions", params={"task": str(task)}).json()["versions"]
    assert [version["curator"] for version in versions[:2]] == ["Grace Müller", "Ada"]


def test_a_name_that_is_none_is_refused(client: httpx.Client) -> None:
    answer = client.get("/api/session", headers={"X-Miniscope-Author": quote("two\nlines")})
    assert answer.status_code == 422
    assert "Curator" in answer.json()["error"]
