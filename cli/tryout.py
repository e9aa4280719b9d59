"""The proof that an Airflow works: run the DAG `hello_armillary` on it and read what its task logged."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from cli.airflow import Airflow, AirflowBusy
from cli.errors import Failed, TimedOut
from cli.waiting import until

T = TypeVar("T")

DAG = "hello_armillary"
TASK = "say_hello"
GREETING = "Hello from Armillary"

PARSED_SECONDS = 120.0  # the dag-processor imports Airflow and looks for new files each 10 s or slower
RUN_SECONDS = 180.0
LOG_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a task logged, in which run; `is_new` is false when the DAG had succeeded before."""

    run: str
    line: str
    is_new: bool


async def try_out(airflow: Airflow, say: Callable[[str], None]) -> Proof:
    """Run the DAG once, or read its last success. Raises Failed or TimedOut, saying how far it came."""
    await _parsed(airflow)
    before = await _patiently(lambda: airflow.newest_success(DAG), f"the runs of {DAG}")
    run = before or await _run(airflow, say)
    return Proof(run=run, line=await _line(airflow, run), is_new=before is None)


async def _parsed(airflow: Airflow) -> None:
    async def known() -> bool | None:
        return await _unless_busy(airflow.dag_is_known(DAG)) or None

    try:
        await until(f"Airflow to parse the DAG {DAG}", known, timeout_seconds=PARSED_SECONDS)
    except TimedOut as error:
        found = await _unless_busy(airflow.import_errors()) or []
        todo = "Look at: armillary logs demo/hello -c dag-processor"
        raise TimedOut(error.what, where=airflow.url, todo=todo, lines=tuple(found)) from None


async def _run(airflow: Airflow, say: Callable[[str], None]) -> str:
    run = f"armillary__{uuid.uuid4()}"
    await _patiently(lambda: airflow.unpause(DAG), f"Airflow to unpause {DAG}")
    await _patiently(lambda: airflow.trigger(DAG, run), f"Airflow to accept a run of {DAG}")
    say(f"triggered {DAG} through Airflow's API, run {run}")

    async def ended() -> str | None:
        state = await _unless_busy(airflow.run_state(DAG, run))
        return state if state in {"success", "failed"} else None

    state = await until(
        f"run {run} of {DAG}",
        ended,
        timeout_seconds=RUN_SECONDS,
        todo="Look at: armillary logs demo/hello -c scheduler",
    )
    if state == "failed":
        lines = await _unless_busy(airflow.task_log(DAG, run, TASK)) or []
        raise Failed(f"The DAG {DAG} failed (run {run}).", where=airflow.url, lines=tuple(lines[-20:]))
    return run


async def _line(airflow: Airflow, run: str) -> str:
    async def logged() -> str | None:
        lines = await _unless_busy(airflow.task_log(DAG, run, TASK)) or []
        return next((line for line in lines if line.startswith(GREETING)), None)

    return await until(f"the log of task {TASK} in run {run}", logged, timeout_seconds=LOG_SECONDS)


async def _patiently(ask: Callable[[], Awaitable[T]], what: str) -> T:
    async def answered() -> tuple[T] | None:
        try:
            return (await ask(),)
        except AirflowBusy:
            return None

    return (await until(what, answered, timeout_seconds=LOG_SECONDS))[0]


async def _unless_busy(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except AirflowBusy:
        return None
