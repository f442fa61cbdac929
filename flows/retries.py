"""What to try again: transient faults only, with growing delays."""

from typing import Any, Final, TypedDict

from prefect import Task
from prefect.cache_policies import NO_CACHE, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import exponential_backoff

from miniscope_core.storage.faults import is_transient


def transient_only(task: Task[..., Any], task_run: TaskRun, state: "State[Any]") -> bool:
    """Tell Prefect whether a failed task may succeed later: see :func:`miniscope_core.storage.faults.is_transient`.

    A task that ran out of its own time does not: its next attempt would take as long.
    """
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and not isinstance(error, TaskRunTimeoutError) and is_transient(error)


class TaskOptions(TypedDict):
    """The options every task here shares."""

    retries: int
    retry_delay_seconds: Any
    retry_jitter_factor: float
    retry_condition_fn: Any
    cache_policy: CachePolicy


# The default cache policy hashes every input at every call; what was done already is known by the database instead.
RETRY_TRANSIENT: Final = TaskOptions(
    retries=4,
    retry_delay_seconds=exponential_backoff(backoff_factor=5),
    retry_jitter_factor=0.5,
    retry_condition_fn=transient_only,
    cache_policy=NO_CACHE,
)
