"""The answers of the page's interface: each reads keys and numbers from a request and asks plain functions."""

from typing import Annotated, Any
from urllib.parse import unquote

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from miniscope_core.curation.decisions import Decisions, Edit
from miniscope_core.errors import CurationError
from miniscope_core.models import CurationKey, MaskKind, TaskKey, as_key
from miniscope_core.models.types import INTEGER_MAX
from miniscope_core.pipeline.curate import decisions_of
from miniscope_core.pipeline.drafts import (
    Draft,
    discard_draft,
    edit_draft,
    find_draft,
    open_draft,
    redo_draft,
    submit_draft,
    undo_draft,
)
from miniscope_core.pipeline.reviews import waiting_reviews
from miniscope_core.web.context import Context, Following, checked_name
from miniscope_core.web.envelopes import COURSES
from miniscope_core.web.listing import (
    compact,
    diff_versions,
    draft_answer,
    list_processings,
    list_versions,
    newer_curations,
)
from miniscope_core.web.packing import MEDIA_TYPE, column, number, pack

router = APIRouter(prefix="/api")
AUTHOR_HEADER = "X-Miniscope-Author"
"""Name of the person before a browser, percent-encoded UTF-8; several may share a server."""
ENGINE = "engine"
"""Stands for the engine's own acceptance where a version is named."""
_MAX_COLUMNS = 8192
_MAX_NOTE = 20_000
_UNIT = Annotated[int, Query(ge=0, le=INTEGER_MAX)]
_TASK = Annotated[str, Query(max_length=1000)]


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


_Context = Annotated[Context, Depends(_context)]


def _author(request: Request) -> str:
    """Return who decides: the name that a browser says its person has, else the one that the server was started by."""
    context: Context = request.app.state.context
    said = unquote(request.headers.get(AUTHOR_HEADER, ""))
    return checked_name(said) if said else context.curator


_Author = Annotated[str, Depends(_author)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task: str = Field(max_length=1000)

    @property
    def key(self) -> TaskKey:
        return as_key(self.task, TaskKey)


class OpenBody(_Body):
    """Open a draft, or begin one anew."""

    parent: str | None = Field(default=None, max_length=1000)
    """A curation to start from; a draft that is there keeps its own."""
    anew: bool = False
    """Whether a draft that is there is forgotten first."""


class ChangeBody(_Body):
    """Undo or redo."""

    revision: int = Field(ge=0)


class EditBody(ChangeBody):
    """Add an edit."""

    edit: Edit


class SubmitBody(ChangeBody):
    """Make a curation of a draft."""

    note: str = Field(default="", max_length=_MAX_NOTE)


# -- lists --------------------------------------------------------------------------------------------------
@router.get("/session")
def session(author: _Author) -> Response:
    """Who decides here, and what masks can be."""
    return JSONResponse({"curator": author, "mask_types": [kind.value for kind in MaskKind]})


@router.get("/processings")
def processings(context: _Context, author: _Author) -> Response:
    """Every processing: those that wait for a person first."""
    return JSONResponse({"processings": list_processings(context.archive, author)})


@router.get("/versions")
def versions(context: _Context, task: _TASK) -> Response:
    """The curations of a processing, the newest first."""
    return JSONResponse({"versions": list_versions(context.archive, as_key(task, TaskKey))})


@router.get("/diff")
def diff(context: _Context, task: _TASK, before: _TASK, after: _TASK) -> Response:
    """How two curations differ."""
    key = as_key(task, TaskKey)
    changes = diff_versions(context.archive, key, _version(before), _version(after))
    return JSONResponse({"changes": changes})


# -- one processing -----------------------------------------------------------------------------------------
@router.get("/field")
def field(context: _Context, task: _TASK) -> Response:
    """The facts of a processing."""
    key = as_key(task, TaskKey)
    with context.opened(key) as opened:
        info, clock = opened.result.info, opened.clock_s
        reviews = [review for review in waiting_reviews(context.archive) if review.task == key]
        return JSONResponse(
            {
                "task": str(key),
                "shape": info.shape,
                "frame_count": info.frame_count,
                "unit_count": info.unit_count,
                "fps": info.fps,
                "begin_s": number(clock[0]),
                "end_s": number(clock[-1]),
                "method": info.method,
                "cell_diameter_px": info.cell_diameter_px,
                "notes": info.notes,
                "images": opened.image_names,
                "reviews": len(reviews),
                "mean_step_s": opened.courses.mean_step / info.fps,
            }
        )


@router.get("/progress")
def progress(context: _Context, task: _TASK) -> Response:
    """How far the traces are summed up: in the background, begun when the page, once it is drawn, first asks."""
    opened = context.opened(as_key(task, TaskKey))
    opened.start_filling()
    return JSONResponse(
        {
            "ready": opened.courses.ready,
            "done": opened.courses.filled_units,
            "total": opened.result.unit_count,
            "failure": opened.failure,
        }
    )


@router.get("/image")
def image(context: _Context, task: _TASK, name: Annotated[str, Query(max_length=50)]) -> Response:
    """A summary image in 65 535 steps between its lowest and highest value."""
    with context.opened(as_key(task, TaskKey)) as opened:
        values, low, high = opened.image(name)
    spread = np.percentile(values, [1.0, 99.7]) if values.size else np.zeros(2)
    meta = {"name": name, "low": low, "high": high, "from": float(spread[0]), "to": float(spread[1])}
    return _packed(meta, {"values": values})


@router.get("/units")
def units(context: _Context, task: _TASK) -> Response:
    """The quality numbers of the engine's units, as columns; the skewness when the traces are summed up."""
    with context.opened(as_key(task, TaskKey)) as opened:
        columns = opened.columns
        if opened.courses.ready:
            columns = columns | {"skewness": opened.courses.skewness}
        return JSONResponse(
            {
                "columns": {name: column(values) for name, values in columns.items()},
                "engine_accepted": column(opened.engine_accepted),
            }
        )


@router.get("/contours")
def contours(context: _Context, task: _TASK) -> Response:
    """The outlines of all of the engine's units."""
    with context.opened(as_key(task, TaskKey)) as opened:
        return _packed({}, opened.contours)


@router.get("/merged")
def merged(context: _Context, author: _Author, task: _TASK, unit: _UNIT) -> Response:
    """The numbers and the outline of a merged unit."""
    key = as_key(task, TaskKey)
    decisions = _decisions(context, author, key)
    with context.opened(key) as opened:
        members = opened.members(unit, decisions)
        columns = opened.merged_columns(unit, members)
        numbers = {name: column(values)[0] for name, values in columns.items()}
        return _packed({"unit_id": unit, "members": members, "numbers": numbers}, opened.outlines([unit], decisions))


@router.get("/unit")
def unit(context: _Context, author: _Author, task: _TASK, unit: _UNIT) -> Response:
    """A unit's footprint, cropped, and its neighbours."""
    key = as_key(task, TaskKey)
    decisions = _decisions(context, author, key)
    with context.opened(key) as opened:
        crop = opened.crop(unit, decisions)
        meta = {
            "unit_id": unit,
            "top": crop["top"],
            "left": crop["left"],
            "neighbours": opened.neighbours(unit, decisions),
            "correlated": opened.courses.ready,
        }
        return _packed(meta, {"footprint": crop["values"]})


@router.get("/traces")
def traces(
    context: _Context,
    author: _Author,
    task: _TASK,
    unit: _UNIT,
    columns: Annotated[int, Query(ge=1, le=_MAX_COLUMNS)],
    begin_s: Annotated[float, Query(allow_inf_nan=False)] = 0.0,
    end_s: Annotated[float, Query(allow_inf_nan=False)] = 1e12,
) -> Response:
    """The envelopes of a unit's courses between two times, in at most so many columns."""
    key = as_key(task, TaskKey)
    with context.opened(key) as opened:
        decisions = {} if unit < opened.result.unit_count else _decisions(context, author, key)
        window = opened.window(unit, decisions, begin_s, end_s, columns)
        clock = opened.clock_s
        starts = np.arange(window.start, window.stop, window.step)
        edges = np.append(clock[starts], clock[min(window.stop, len(clock) - 1)])
    arrays = {"time_s": edges}
    for name in COURSES:
        arrays |= {f"{name}_low": window.low[name], f"{name}_high": window.high[name]}
    return _packed({"unit_id": unit, "start": window.start, "stop": window.stop, "step": window.step}, arrays)


# -- drafts -------------------------------------------------------------------------------------------------
@router.post("/draft/open")
def draft_open(context: _Context, author: _Author, body: OpenBody) -> Response:
    """Return the person's draft, begun where there is none, with what it started from."""
    parent = None if body.parent is None else as_key(body.parent, CurationKey)
    if parent is not None and parent.task != body.key:
        raise CurationError(f"Curation {parent} is not of {body.key}: start from one of its own.")
    if body.anew:
        discard_draft(context.archive, body.key, author)
    draft = open_draft(context.archive, body.key, author, parent)
    answer = _draft_answer(context, draft)
    answer["parent_units"] = compact(decisions_of(context.archive, draft.task, draft.parent))
    return JSONResponse(answer)


@router.post("/draft/edit")
def draft_edit(context: _Context, author: _Author, body: EditBody) -> Response:
    """Keep one edit."""
    draft = edit_draft(context.archive, body.key, author, body.revision, body.edit)
    return JSONResponse(_draft_answer(context, draft))


@router.post("/draft/undo")
def draft_undo(context: _Context, author: _Author, body: ChangeBody) -> Response:
    """Take the last edit back."""
    return JSONResponse(_draft_answer(context, undo_draft(context.archive, body.key, author, body.revision)))


@router.post("/draft/redo")
def draft_redo(context: _Context, author: _Author, body: ChangeBody) -> Response:
    """Make the edit again that was undone last."""
    return JSONResponse(_draft_answer(context, redo_draft(context.archive, body.key, author, body.revision)))


@router.post("/draft/submit")
def draft_submit(context: _Context, author: _Author, body: SubmitBody) -> Response:
    """Make a curation of the draft, and let go on what waits for it."""
    curated = submit_draft(context.archive, body.key, author, body.revision, body.note)
    context.forget_decisions(body.key, author)
    following = context.follow(curated)
    return JSONResponse(
        {
            "key": str(curated.key),
            "message": curated.message,
            "unit_count": curated.unit_count,
            "accepted_count": curated.accepted_count,
            "newer": curated.newer,
            "runs": len(curated.runs),
            "following": _told(following),
        }
    )


@router.get("/submission")
def submission(context: _Context, submission_id: Annotated[str, Query(max_length=64)]) -> Response:
    """What became of what follows a submission."""
    return JSONResponse(_told(context.following(submission_id)))


def _told(following: Following) -> dict[str, str]:
    return {"submission_id": following.submission_id, "state": following.state, "message": following.message}


def _version(text: str) -> CurationKey | None:
    return None if text == ENGINE else as_key(text, CurationKey)


def _draft_answer(context: Context, draft: Draft) -> dict[str, Any]:
    context.remember_decisions(draft.task, draft.curator, draft.decisions)
    return draft_answer(draft, newer_curations(context.archive, draft))


def _decisions(context: Context, author: str, task: TaskKey) -> Decisions:
    """Return the decisions of the person's draft; the last ones seen are at hand."""
    known = context.known_decisions(task, author)
    if known is None:
        draft = find_draft(context.archive, task, author)
        known = decisions_of(context.archive, task) if draft is None else draft.decisions
        context.remember_decisions(task, author, known)
    return known


def _packed(meta: dict[str, Any], arrays: dict[str, Any]) -> Response:
    return Response(pack(meta, arrays), media_type=MEDIA_TYPE)
