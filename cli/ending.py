"""Stopping the world of a home: the daemon, then what it kept, then PostgreSQL. Data stays.

The order matters: a daemon that saw its Airflow stop would start it again, workers end what they run only while
the rest of Airflow is there, and Airflow stops cleanly only while its database answers. Only run folders of this
home are touched, and doing it again does nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.errors import Failed, TimedOut
from cli.home import Home
from cli.waiting import until
from drivers.local import supervise

_GRACE_SECONDS = 20.0  # for a run folder that does not say its own
_MARGIN_SECONDS = 15.0  # after the grace the shim kills everything, which takes moments
_WORKER = "worker"
_QUIET = frozenset({"absent", "ended"})
_ABANDONED = frozenset({"lost", "unsupervised"})

Say = Callable[[str], None]


async def down(home: Home, say: Say) -> int:
    """Stop everything of the home; how many programs were stopped. Raises TimedOut or Failed, naming what runs."""
    stopped = 0
    for what, folders in _in_order(home):
        if running := [folder for folder in folders if supervise.look(folder).condition not in _QUIET]:
            say(f"stopping {what}: {', '.join(_name(home, folder) for folder in running)}")
            stopped += await end(running)
    return stopped


async def end(folders: Sequence[Path]) -> int:
    """Stop what is in some run folders, all at once, each within its own grace; how many had something."""
    results = await asyncio.gather(*map(_end_one, folders), return_exceptions=True)
    failed = [one for one in results if isinstance(one, BaseException)]
    if failed:
        raise failed[0]
    return len(folders)


async def _end_one(folder: Path) -> None:
    await _ask(folder)
    grace = _grace(folder)

    async def quiet() -> bool | None:
        condition = supervise.look(folder).condition
        if condition in _ABANDONED:
            await _ask(folder)  # its shim died before it heard us
        return condition in _QUIET or None

    try:
        await until(f"{folder.name} to stop", quiet, timeout_seconds=grace + _MARGIN_SECONDS, every_seconds=0.05)
    except TimedOut as error:
        pids = ", ".join(map(str, supervise.members(folder))) or "none to be seen"
        raise TimedOut(
            error.what, where=f"{folder}, processes: {pids}", todo="Run armillary down again."
        ) from None


async def _ask(folder: Path) -> None:
    try:
        await asyncio.to_thread(supervise.stop, folder)
    except supervise.SuperviseError as error:
        raise Failed(str(error)) from error


def _in_order(home: Home) -> Sequence[tuple[str, Sequence[Path]]]:
    airflow = sorted(home.deployments.glob("*/run/*"))
    workers = [one for one in airflow if one.name.rpartition("-")[0] == _WORKER]
    return (
        ("the daemon", [home.daemon_run]),
        ("installations of Airflow", sorted(home.runtimes.glob("*.build"))),
        ("workers, which end the tasks that they run", workers),
        ("Airflow", [one for one in airflow if one not in workers]),
        ("PostgreSQL", [home.postgres_run]),
    )


def _name(home: Home, folder: Path) -> str:
    parts = folder.relative_to(home.path).parts
    return f"{parts[1]}/{parts[-1]}" if parts[0] == home.deployments.name else parts[-1]


def _grace(folder: Path) -> float:
    try:
        return float(json.loads((folder / "unit.json").read_text())["grace_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return _GRACE_SECONDS
