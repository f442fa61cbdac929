"""The page in a real browser: decisions by mouse and by keyboard, drafts that outlive the server, nothing that runs."""

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from miniscope_core import models as m
from miniscope_core.curation.decisions import Decisions, Reject, accepted_units
from miniscope_core.curation.policies import Manual
from miniscope_core.models import CurationKey, MaskKind, TaskKey
from miniscope_core.pipeline.curate import decisions_of, submit_curation
from miniscope_core.pipeline.drafts import edit_draft, find_draft
from miniscope_core.pipeline.published import published_result
from miniscope_core.pipeline.reviews import request_review
from miniscope_core.quality.masks import measure_masks
from miniscope_core.quality.similarity import cosines
from miniscope_core.storage.archive import Archive
from tests.archives import rows
from tests.web.browsing import Curator
from tests.web.conftest import SIZE_PX, UNITS
from tests.web.server import serving

pytestmark = pytest.mark.browser
EVIL = '<img src=x onerror="window.ran = true"><script>window.ran = true</script>'


def newest(archive: Archive, task: TaskKey) -> tuple[dict[str, Any], Decisions]:
    """Return the row of the newest curation, and its decisions."""
    row = rows(archive, m.Curation)[-1]
    return row, decisions_of(archive, task, CurationKey(task=task, curation_id=row["curation_id"]))


def lonely_unit(archive: Archive, task: TaskKey) -> tuple[int, tuple[float, float]]:
    """Return a unit that no other overlaps, and its centre (y, x)."""
    result = published_result(archive, task)
    overlap = cosines(result.footprints, result.footprints) - np.eye(UNITS)
    unit = int(overlap.max(axis=1).argmin())
    y, x = measure_masks(result.footprints, result.shape).center_px[unit]
    return unit, (float(y), float(x))


def test_from_the_list_to_a_submission_by_mouse(ada: Curator, address: str, archive: Archive, task: TaskKey) -> None:
    request_review(archive, task, Manual(), run="run-1")
    before = decisions_of(archive, task)
    unit, center = lonely_unit(archive, task)
    accepted = before[unit].accepted
    ada.visit(address)
    expect(ada.page.get_by_role("region", name="Waiting for a decision")).to_contain_text("a flow run waits for it")
    ada.button(f"Curate {task}").click()
    ada.ready()
    # On the field: a click selects, and its outline's state changes.
    ada.page.locator("#field").click(position=ada.place_of(center, SIZE_PX))
    expect(ada.page.locator("#unit")).to_contain_text(f"Unit {unit}")
    ada.button("Reject" if accepted else "Accept").click()
    expect(ada.row(unit)).to_contain_text("reject *" if accepted else "accept *")
    # Many at once in the table.
    ada.button("SNR").click()
    ada.page.locator("#filter").fill("snr < 4")
    low = int((published_result(archive, task).snr < 4).sum())
    expect(ada.page.locator("#units")).to_have_attribute("aria-rowcount", str(low + 1))
    shown = [int(text) for text in ada.page.locator(".rows .row:not([hidden]) .unit").all_inner_texts()]
    ada.select(shown[0])
    ada.select(shown[2], modifiers=["Shift"])
    ada.select(shown[4], modifiers=["Control"])
    many = {*shown[:3], shown[4]}
    expect(ada.page.locator("#row-count")).to_contain_text("4 selected")
    ada.page.locator("#type").select_option("neuropil")
    ada.saved()
    # A neighbour is merged with, undone, and merged again.
    ada.page.locator("#filter").fill("")
    pair = _overlapping(archive, task, {unit, *many})
    ada.page.locator("#filter").fill(f"unit = {pair[0]}")
    # Rows are used again for other units: the one that had this number before must not be clicked.
    expect(ada.page.locator("#units")).to_have_attribute("aria-rowcount", "2")
    ada.select(pair[0])
    ada.button(f"Merge unit {pair[0]} with unit {pair[1]}").click()
    expect(ada.page.locator("#unit")).to_contain_text(f"Unit {UNITS}")
    expect(ada.page.locator("#unit")).to_contain_text(f"of {min(pair)}, {max(pair)}")
    ada.button("Undo").click()
    ada.saved()
    expect(ada.page.locator("#counts")).not_to_contain_text("merged")
    ada.button("Redo").click()
    expect(ada.page.locator("#counts")).to_contain_text("◆ 1 merged")
    ada.saved()
    ada.button("Submit…").click()
    ada.page.locator("#note").fill("by mouse")
    ada.page.locator("#go").click()
    expect(ada.page.locator("#notices")).to_contain_text("1 waiting flow run goes on")
    row, decisions = newest(archive, task)
    assert (row["curator"], row["curation_note"], row["manual_curation"]) == ("Ada", "by mouse", True)
    assert decisions[unit].accepted is not accepted
    assert {number for number, one in decisions.items() if one.mask_type is MaskKind.NEUROPIL} == many
    assert decisions[UNITS].members == tuple(sorted(pair))
    assert rows(archive, m.Review)[0]["state"] is m.ReviewState.ANSWERED


def _overlapping(archive: Archive, task: TaskKey, without: set[int]) -> tuple[int, int]:
    result = published_result(archive, task)
    overlap = np.triu(cosines(result.footprints, result.footprints), 1)
    for one in np.argsort(-overlap, axis=None):
        first, second = (int(index) for index in np.unravel_index(one, overlap.shape))
        if not {first, second} & without:
            return first, second
    raise AssertionError("no two units overlap")


def test_from_the_list_to_a_submission_by_keyboard_alone(
    ada: Curator, address: str, archive: Archive, task: TaskKey
) -> None:
    before = decisions_of(archive, task)
    ada.visit(address)
    ada.tab_to(f"Curate {task}")
    ada.press("Enter")
    ada.ready()
    assert ada.focused() == "units"
    expect(ada.page.locator("#units")).to_have_attribute("aria-activedescendant", "unit-0")
    ada.press("r", "j", "a", "1", "ArrowDown", "r", "k", "2")  # 0 rejected, 1 accepted, an axon; 2 rejected
    expect(ada.page.locator("#live")).to_contain_text("Unit 1: axon")
    ada.press("u", "Control+z", "Control+y", "Control+Shift+z")
    ada.saved()
    ada.press("n")  # the next that nobody decided on
    expect(ada.page.locator("#unit")).to_contain_text("Unit 3")
    ada.press("Shift+ArrowDown", "m")
    expect(ada.page.locator("#unit")).to_contain_text(f"Unit {UNITS}")
    ada.saved()
    ada.press("s")
    expect(ada.page.locator("#counts")).not_to_contain_text("merged")
    ada.saved()
    ada.press("/")
    assert ada.focused() == "filter"
    ada.page.keyboard.type("unit >= 30 and unit < 35")
    ada.press("Enter", "Control+a")
    expect(ada.page.locator("#row-count")).to_have_text("5 of 40, 5 selected")
    ada.press("r", "Escape")
    ada.press("?")
    expect(ada.page.get_by_role("dialog")).to_contain_text("next, previous undecided")
    ada.press("Escape", "Control+Enter")
    expect(ada.page.locator("#note")).to_be_focused()
    ada.page.keyboard.type("by keyboard")
    ada.tab_to("go")
    ada.press("Enter")
    expect(ada.page.locator("#notices")).to_contain_text("Curated")
    row, decisions = newest(archive, task)
    assert row["curation_note"] == "by keyboard"
    expected = dict(before) | {unit: decisions[unit] for unit in (0, 1, 2, *range(30, 35))}
    assert decisions == expected
    assert [decisions[unit].accepted for unit in (0, 1, 2)] == [False, True, False]
    assert decisions[1].mask_type is MaskKind.AXON
    assert not set(range(30, 35)) & set(accepted_units(decisions))


def test_server_killed_in_the_middle_loses_nothing(ada: Curator, home: Path, archive: Archive, task: TaskKey) -> None:
    ada.expected = ["ERR_CONNECTION", "ERR_EMPTY_RESPONSE", "ERR_SOCKET", "ERR_CONTENT_LENGTH"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(home, port) as (address, process):
        ada.open_task(address, task)
        ada.press("r", "j", "a")
        ada.saved()
        process.kill()
        process.wait()
        # The person goes on meanwhile.
        ada.press("j", "r", "j", "r")
        expect(ada.page.locator("#notices")).to_contain_text("The server is away")
        expect(ada.row(3)).to_contain_text("reject")
    draft = find_draft(archive, task, "Ada")
    assert draft is not None
    assert draft.position == 2
    with serving(home, port) as (address, _):
        ada.saved()
        expect(ada.page.locator("#notices")).not_to_contain_text("The server is away")
        draft = find_draft(archive, task, "Ada")
        assert draft is not None
        assert [edit.kind for edit in draft.edits] == ["reject", "accept", "reject", "reject"]
        ada.press("u")
        ada.saved()
        # The browser dies too; undo and redo are still there.
        ada.page.goto("about:blank")
        ada.open_task(address, task)
        expect(ada.page.locator("#counts")).to_contain_text("3 of 40 decided")
        ada.press("y")
        ada.saved()
        expect(ada.page.locator("#counts")).to_contain_text("4 of 40 decided")
        ada.button("Submit…").click()
        ada.page.locator("#go").click()
        expect(ada.page.locator("#notices")).to_contain_text("Curated")
    _, decisions = newest(archive, task)
    assert [decisions[unit].accepted for unit in range(4)] == [False, True, False, False]


def test_nothing_that_was_stored_runs(
    ada: Curator, serve_page: Callable[..., httpx.Client], archive: Archive, task: TaskKey
) -> None:
    submit_curation(archive, task, [Reject(unit_ids=(1,))], curator=EVIL, note=EVIL)
    ada.visit(str(serve_page(curator="<b>Ada</b>").base_url))
    expect(ada.page.locator("main")).to_contain_text(EVIL)
    ada.open_task(ada.page.url, task)
    ada.button("Versions").click()
    expect(ada.page.get_by_role("dialog")).to_contain_text(EVIL)
    ada.press("Escape", "Control+Enter")
    expect(ada.page.get_by_role("dialog")).to_contain_text("<b>Ada</b>")
    ada.page.locator("#note").fill(EVIL)
    ada.page.locator("#go").click()
    expect(ada.page.locator("#notices")).to_contain_text("<b>Ada</b>")
    assert ada.page.locator("img, main script, main b").count() == 0
    assert ada.page.evaluate("window.ran") is None
    assert rows(archive, m.Curation)[-1]["curation_note"] == EVIL


def test_policy_of_the_page_stops_what_would_run(ada: Curator, address: str) -> None:
    ada.visit(address)
    ada.page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
    }""")
    assert ada.page.evaluate("window.ran") is None
    ada.expected = ["Content Security Policy"]
    assert ada.wrong


def test_change_in_another_window_is_told_and_shown(
    ada: Curator, address: str, archive: Archive, task: TaskKey
) -> None:
    ada.expected = ["409"]
    ada.open_task(address, task)
    edit_draft(archive, task, "Ada", 0, Reject(unit_ids=(5,)))
    ada.press("r")
    expect(ada.page.locator("#notices")).to_contain_text("changed elsewhere")
    expect(ada.page.locator("#counts")).to_contain_text("1 of 40 decided")
    ada.press("r")
    ada.saved()
    expect(ada.page.locator("#counts")).to_contain_text("2 of 40 decided")
    expect(ada.page.locator("#notices")).not_to_contain_text("changed elsewhere")


def test_everything_is_reached_with_the_tabulator_and_the_focus_is_seen(
    ada: Curator, address: str, task: TaskKey
) -> None:
    ada.open_task(address, task)
    ada.press("r")
    ada.saved()
    expect(ada.page.locator(".neighbours tbody tr").first).to_be_visible()
    names = """() => [...document.querySelectorAll(
            'a[href], button, input, select, textarea, [tabindex="0"]')]
        .filter((e) => !e.disabled && e.tabIndex >= 0 && e.getClientRects().length)
        .map((e) => e.id || e.getAttribute('aria-label') || e.textContent || e.parentElement.textContent)"""
    wanted = set(ada.page.evaluate(names))
    ada.page.evaluate("() => document.activeElement.blur()")
    reached, unseen = set(), []
    for _ in range(len(wanted) + 15):
        ada.press("Tab")
        found = ada.page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
            if (e === document.body) return ["", true];
            const table = e.closest('.table');
            return [e.id || e.getAttribute('aria-label') || e.textContent || e.parentElement.textContent,
                s.outlineStyle !== 'none' || (table && getComputedStyle(table).boxShadow !== 'none')]; }""")
        reached.add(found[0])
        if not found[1] and found[0] not in unseen:
            unseen.append(found[0])
    assert wanted - reached == set()
    assert unseen == []
    nameless = ada.page.evaluate("""() => [...document.querySelectorAll('button, input, select, textarea, canvas')]
        .filter((e) => !e.getAttribute('aria-label') && !e.textContent && !(e.labels && e.labels.length)
            && !e.getAttribute('aria-hidden')).map((e) => e.outerHTML)""")
    assert nameless == []


def test_states_are_told_by_sign_and_word_and_not_by_colour_alone(
    ada: Curator, address: str, archive: Archive, task: TaskKey
) -> None:
    ada.open_task(address, task)
    for unit, one in list(decisions_of(archive, task).items())[:8]:
        expect(ada.row(unit).locator(".state")).to_have_text("● accept" if one.accepted else "○ reject")
    expect(ada.page.locator(".legend")).to_contain_text("○ rejected")


def test_traces_are_zoomed_moved_and_kept_while_units_change(ada: Curator, address: str, task: TaskKey) -> None:
    ada.open_task(address, task)
    span = ada.page.locator("#span")
    expect(span).to_have_text("0 s – 4:09.9 of 4:09.9")
    ada.page.locator("#traces").focus()
    ada.press("+", "+", "Home")
    expect(span).to_have_text("0 s – 1:37.6 of 4:09.9")
    ada.press("PageDown")
    expect(span).to_have_text("1:37.6 – 3:15.3 of 4:09.9")
    ada.press("j")
    expect(ada.page.locator("#traces")).to_have_attribute("data-unit", "1")
    expect(span).to_have_text("1:37.6 – 3:15.3 of 4:09.9")
    ada.press("0")
    expect(span).to_have_text("0 s – 4:09.9 of 4:09.9")


def test_numbers_that_need_all_traces_come_by_themselves(ada: Curator, address: str, task: TaskKey) -> None:
    ada.open_task(address, task)
    expect(ada.page.locator(".numbers")).to_contain_text("skew")
    ada.page.locator("#filter").fill("skewness > 1000")
    expect(ada.page.locator("#row-count")).to_contain_text("0 of 40")
    ada.page.locator("#filter").fill("skewness >")
    expect(ada.page.locator("#filter-told")).to_have_text("a value is missing")
    expect(ada.page.locator("#filter")).to_have_attribute("aria-invalid", "true")


def test_images_are_switched(ada: Curator, address: str, task: TaskKey) -> None:
    ada.open_task(address, task)
    image = ada.page.locator("#image")
    seen = [image.input_value()]
    for _ in range(4):
        before = _grey(ada)
        ada.press("i")
        seen.append(image.input_value())
        ada.page.wait_for_function("before => window.grey() !== before", arg=before)
    assert set(seen) == {"average", "correlation", "pnr", "max", "template"}


def _grey(ada: Curator) -> str:
    """Return a fingerprint of the field's pixels."""
    ada.page.evaluate("() => { window.grey = () => document.getElementById('field').toDataURL(); }")
    return str(ada.page.evaluate("() => window.grey()"))


def test_versions_are_compared_and_one_is_started_from(
    ada: Curator, address: str, archive: Archive, task: TaskKey
) -> None:
    ada.open_task(address, task)
    ada.press("r")
    ada.saved()
    accepted = [unit for unit, one in decisions_of(archive, task).items() if one.accepted][:2]
    submit_curation(archive, task, [Reject(unit_ids=tuple(accepted))], curator="Grace", note="hers")
    ada.press("j", "r")
    expect(ada.page.locator("#notices")).to_contain_text("by Grace")
    ada.button("Versions").click()
    expect(ada.page.get_by_role("dialog")).to_contain_text("2 units differ")
    ada.button("Start from version 1").click()
    ada.button("Go on").click()
    expect(ada.page.locator("#counts")).to_contain_text("0 of 40 decided")
    draft = find_draft(archive, task, "Ada")
    assert draft is not None
    assert (draft.parent, draft.edits) == (CurationKey(task=task, curation_id=1), ())


def test_token_opens_the_page_once_and_for_all(
    ada: Curator, serve_page: Callable[..., httpx.Client], task: TaskKey
) -> None:
    token = "a-token-for-the-tests-only"
    ada.expected = ["401"]
    address = str(serve_page(token=token).base_url)
    ada.page.goto(address)
    expect(ada.page.get_by_role("alert").last).to_contain_text("Not signed in")
    ada.visit(f"{address}/?token={token}#/{task}")
    assert token not in ada.page.url
    ada.press("r")
    ada.saved()
    ada.visit(address)
    assert ada.page.evaluate("document.cookie") == ""


def test_narrow_screen_has_no_sideways_scroll(browser: Browser, address: str, task: TaskKey) -> None:
    person = Curator(browser, 390, 800)  # closed below, before its server is
    person.open_task(address, task)
    assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert person.page.evaluate("document.getElementById('content').scrollWidth <= innerWidth")
    assert person.wrong == []
    person.context.close()


# -- the filter -----------------------------------------------------------------------------------------------
def sentence(rng: random.Random, depth: int) -> tuple[str, Callable[[dict[str, float]], bool]]:
    """Make a filter, and what it means."""
    kind = rng.choice(["compare", "compare", "not", "and", "or"]) if depth else "compare"
    if kind == "compare":
        name, sign = rng.choice(["snr", "npix"]), rng.choice(["<", "<=", ">", ">=", "=", "==", "!="])
        bound = rng.choice(["3", "2.5", "-1", "1e1", ".5"])
        compare: dict[str, Callable[[float, float], bool]] = {
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
            "=": lambda a, b: a == b,
            "==": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
        }
        space = rng.choice(["", " "])
        return f"{name}{space}{sign}{space}{bound}", lambda unit: compare[sign](unit[name], float(bound))
    first, means = sentence(rng, depth - 1)
    if kind == "not":
        return f"not ({first})", lambda unit: not means(unit)
    second, also = sentence(rng, depth - 1)
    if kind == "and":
        return f"({first}) {rng.choice(['and ', 'AND ', ''])}({second})", lambda unit: means(unit) and also(unit)
    return f"({first}) or ({second})", lambda unit: means(unit) or also(unit)


def test_filter_means_what_it_says(ada: Curator, address: str) -> None:
    rng = random.Random(5)
    units = [{"snr": snr, "npix": npix} for snr in (2.5, 3.0, 10.0, float("nan")) for npix in (-1.0, 0.5, 3.0)]
    sentences = [sentence(rng, 3) for _ in range(300)]
    ada.visit(address)
    found = ada.page.evaluate(
        """async ([texts, units]) => {
            const { parseFilter } = await import("/static/filter.js");
            return texts.map((text) => {
                const fits = parseFilter(text, { numbers: ["snr", "npix"], texts: {} });
                return units.map(([snr, npix]) => fits({ number: (n) => (n === "snr" ? snr ?? NaN : npix) }));
            });
        }""",
        [[text for text, _ in sentences], [[None if np.isnan(u["snr"]) else u["snr"], u["npix"]] for u in units]],
    )
    for (text, means), answers in zip(sentences, found, strict=True):
        assert answers == [means(unit) for unit in units], text


@pytest.mark.parametrize(
    "text", ["snr >", "snr > 3 and", "(snr > 3", "snr", "alert(1)", "snr > 3; x", "constructor = 1"]
)
def test_filter_that_is_none_is_told_and_changes_nothing(ada: Curator, address: str, task: TaskKey, text: str) -> None:
    ada.open_task(address, task)
    ada.page.locator("#filter").fill(text)
    expect(ada.page.locator("#filter-told")).not_to_be_empty()
    expect(ada.page.locator("#row-count")).to_have_text("40 units")


def test_a_person_gives_their_name_once(ada: Curator, address: str, archive: Archive, task: TaskKey) -> None:
    ada.visit(address)
    ada.page.locator("#who").click()
    ada.page.locator("#author").fill(EVIL[:40])
    ada.page.locator("#use-author").click()
    expect(ada.page.locator("#who")).to_contain_text("You are <img")
    ada.page.reload()
    expect(ada.page.locator("#who")).to_contain_text("You are <img")
    ada.button(f"Curate {task}").click()
    ada.ready()
    ada.button("Submit…").click()
    ada.page.locator("#go").click()
    expect(ada.page.locator("#notices")).to_contain_text("by <img")
    row, _ = newest(archive, task)
    assert row["curator"] == EVIL[:40]
    assert ada.page.evaluate("window.ran === undefined")
