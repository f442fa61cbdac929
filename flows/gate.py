"""The gate: where a run asks a person, gives its process back, and goes on when they decided.

What counts is the review's row in the database. A run that is woken, for whatever reason, looks there first, and what
a form brings is an answer to the review like any other. So a run that was killed, a server that was restarted and a
button pressed twice lead to the same end, and nothing is decided by a form that nobody filled in.
"""

from typing import Any, Final
from uuid import UUID, uuid4

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from pydantic import Field, create_model

from flows.reports import describe_review, report_review
from flows.tasks import (
    curate_task,
    find_review_of_policy_task,
    find_review_task,
    open_archive,
    request_review_task,
    settle_review_task,
)
from flows.waking import wake_runs
from miniscope_core.curation.policies import CurationPolicy, Manual
from miniscope_core.errors import CurationError
from miniscope_core.pipeline.answers import Answer, Verdict
from miniscope_core.pipeline.reviews import ReviewStatus, answer_of, wait_for_answer

_INPUTS: Final = "suspended-"
_RESPONSE: Final = "-response"
_MANY: Final = 200


class Decision(RunInput, Answer):
    """The form that the Resume button shows."""


def suspendable_run() -> str | None:
    """Return the id of this flow run where it can be suspended: run by a deployment, and not by another flow."""
    context = FlowRunContext.get()
    run = None if context is None else context.flow_run
    if run is None or run.deployment_id is None or run.parent_task_run_id is not None:
        return None
    return str(run.id)


def refuse_to_wait(policy: CurationPolicy) -> None:
    """Fail before anything is done where a run would have to wait and cannot.

    Raises
    ------
    CurationError
        When the policy waits for a person, this run cannot be suspended, and the policy does not say to block.
    """
    if isinstance(policy, Manual) and policy.without_server == "fail" and suspendable_run() is None:
        raise CurationError(
            "Policy manual waits for a person, and a flow called from Python or by another flow cannot be suspended: "
            "nothing was done. Run it as a deployment (`miniscope serve`), or set without_server='block' to wait in "
            "this process, or take policy accept_engine and decide afterwards with `miniscope curate`."
        )


def task_under_review(policy: CurationPolicy) -> str | None:
    """Return the key of the processing that this run asked about before it was suspended; None where it did not."""
    run = suspendable_run() if isinstance(policy, Manual) else None
    status = None if run is None else find_review_task(run)
    return None if status is None else str(status.task)


def decide(task_key: str, policy: CurationPolicy) -> str:
    """Return the key of the curation that a policy leads to; where a person decides, wait for them.

    A run of a deployment is suspended meanwhile and starts again from the top; any other waits in its process.

    Raises
    ------
    CurationError
        When nobody came in time and the policy says to fail then.
    """
    if not isinstance(policy, Manual):
        return str(curate_task(task_key, policy).key)
    run = suspendable_run()
    if run is not None:
        return _suspended_until_answered(_ask(task_key, policy, run), run)
    status = _ask(task_key, policy, None)
    get_run_logger().warning("Waiting in this process until a person decides: miniscope curate %s", task_key)
    with open_archive() as archive:
        return str(wait_for_answer(archive, status))


def decide_or_ask(task_key: str, policy: CurationPolicy) -> str | None:
    """Return the key of the curation that a policy leads to; where a person decides, ask once and return None.

    Raises
    ------
    CurationError
        When nobody came in time and the policy says to fail then.
    """
    if not isinstance(policy, Manual):
        return str(curate_task(task_key, policy).key)
    answer = answer_of(settle_review_task(_ask(task_key, policy, None), None).status)
    return None if answer is None else str(answer)


def _ask(task_key: str, policy: Manual, run: str | None) -> ReviewStatus:
    """Return the review of a run, or of a policy where no run waits; the first time, publish what it is about."""
    known = find_review_of_policy_task(task_key, policy) if run is None else find_review_task(run)
    if known is not None:
        return known
    start = curate_task(task_key, policy.start).key
    report_review(str(start), policy)
    return request_review_task(task_key, policy, run)


def _suspended_until_answered(status: ReviewStatus, run: str) -> str:
    """Return the answer, or leave this process; the run comes here again when it is resumed."""
    responses = _responses(run)
    settled = settle_review_task(status, next(iter(responses.values()), None))
    _forget(run, responses)
    for line in wake_runs(other for other in settled.runs if other != run):
        get_run_logger().info(line)
    answer = answer_of(settled.status)
    if answer is not None:
        return str(answer)
    if settled.refusal:
        get_run_logger().warning("The answer was not taken: %s", settled.refusal)
    # The time limit is ours: Prefect would fail the run by its own clock, whatever the policy says. A new key each
    # time: behind one that was used already, the run would go on at once.
    suspend_flow_run(
        wait_for_input=_form(describe_review(settled.status, settled.refusal)), key=uuid4().hex, timeout=None
    )
    raise CurationError(f"Run {run} was to be suspended until {status.task} is decided on, and was not.")


def _form(text: str) -> type[Decision]:
    """Return the form with a text above the first field, which every screen shows.

    What Prefect calls a form's description has no height at all where the form is higher than the screen.
    """
    said = Decision.model_fields["decision"].description
    return create_model("Decision", __base__=Decision, decision=(Verdict, Field(description=f"{text}\n\n{said}")))


def _responses(run: str) -> dict[str, dict[str, Any]]:
    """Return what forms of this run brought and nobody looked at yet, the newest first."""
    with get_client(sync_client=True) as client:
        found = client.filter_flow_run_input(UUID(run), key_prefix=_INPUTS, limit=_MANY, exclude_keys=set())
    found.sort(key=lambda one: one.created.timestamp() if one.created else 0.0, reverse=True)
    return {one.key: one.decoded_value for one in found if one.key.endswith(_RESPONSE)}


def _forget(run: str, responses: dict[str, dict[str, Any]]) -> None:
    with get_client(sync_client=True) as client:
        for key in responses:
            client.delete_flow_run_input(UUID(run), key=key)
