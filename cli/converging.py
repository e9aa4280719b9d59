"""Waiting until a deployment is Ready, and knowing when to stop waiting and say why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from cli.client import Client
from cli.errors import CommandError, Failed, TimedOut, Unreachable
from cli.names import DeploymentName
from cli.progress import Screen
from cli.waiting import until

STUCK_SECONDS = 60.0
"""A unit that stays failed or held so long will not heal by itself: the daemon has tried again meanwhile."""

_STUCK_STATES = frozenset({"failed", "held"})
_FINE = frozenset({"ready", "done", "stopped", "waiting"})
_LOG_LINES = 20
_LOOK_SECONDS = 120.0
_RECORD_SECONDS = 1.0  # a pass's status is written some 50 ms after what it did

Status = Mapping[str, Any]


@dataclass(slots=True)
class Stuckness:
    """Follows which units are stuck, and since when. Pure: `now` is given."""

    since: dict[str, float]

    def feed(self, units: list[Mapping[str, Any]], now: float) -> str | None:
        """Take in a status's units; the name of one that has been stuck for too long, or None."""
        stuck = {str(one["unit"]) for one in units if one["state"] in _STUCK_STATES}
        self.since = {name: self.since.get(name, now) for name in stuck}
        return next((name for name, begun in self.since.items() if now - begun >= STUCK_SECONDS), None)


def is_ready(status: Status) -> bool:
    """True when the newest generation was observed and its condition Ready is True."""
    current = status.get("generation") == status.get("observed_generation")
    found = (one for one in status.get("conditions") or () if one["type"] == "Ready")
    return current and any(one["status"] == "True" for one in found)


async def caught_up(api: Client, name: DeploymentName) -> None:
    """Wait until a daemon that has just started has looked at a deployment that was there before it.

    Until then its status is what an earlier daemon saw. A dry run shows what the new one has not done yet; what
    it did is in the status a moment later.
    """

    async def nothing_to_do() -> bool | None:
        try:
            return not (await api.get(f"{name.path}/plan"))["now"] or None
        except (Unreachable, TimedOut):
            return None

    await until(f"the daemon to look at {name}", nothing_to_do, timeout_seconds=_LOOK_SECONDS)
    await asyncio.sleep(_RECORD_SECONDS)


async def ready(
    api: Client, name: DeploymentName, screen: Screen, *, timeout_seconds: float, alive: Callable[[], None]
) -> Status:
    """Show the units' progress until the deployment is Ready; its status then.

    `alive` raises when going on makes no sense (the daemon was stopped). Raises TimedOut after the timeout and
    Failed when a unit is stuck, both with the end of that unit's log.
    """
    stuckness = Stuckness({})
    last: Status = {}

    async def probe() -> Status | None:
        nonlocal last
        alive()
        try:
            last = await api.get(f"{name.path}/status")
        except Unreachable:
            return None  # the shim starts a crashed daemon again
        units = list(last.get("units") or ())
        screen.units(units)
        if stuck := stuckness.feed(units, screen.seconds):
            raise Failed(f"{name} does not become Ready.", **await _evidence(api, name, stuck, last))
        return last if is_ready(last) else None

    try:
        with screen.live():
            return await until(f"{name} to become Ready", probe, timeout_seconds=timeout_seconds)
    except TimedOut as error:
        unit = next((str(one["unit"]) for one in last.get("units") or () if one["state"] not in _FINE), "")
        raise TimedOut(error.what, **await _evidence(api, name, unit, last)) from None


class _Evidence(TypedDict):
    where: str
    todo: str
    lines: tuple[str, ...]


async def _evidence(api: Client, name: DeploymentName, unit: str, status: Status) -> _Evidence:
    """What an error says about a unit: its state and detail, and the end of its log."""
    shown: Mapping[str, Any] = next((one for one in status.get("units") or () if one["unit"] == unit), {})
    return {
        "where": f"{unit} is {shown['state']}: {shown.get('detail') or 'no more is known'}" if shown else "",
        "todo": f"The daemon goes on trying. Look at: armillary why {name}",
        "lines": await log_tail(api, name, unit),
    }


async def log_tail(api: Client, name: DeploymentName, unit: str) -> tuple[str, ...]:
    """The last lines that a unit printed; empty when they cannot be had."""
    if not unit:
        return ()
    try:
        answer = await api.get(f"{name.path}/logs", unit=unit, lines=_LOG_LINES)
    except CommandError:
        return ()
    return tuple(str(line) for line in answer.get("lines") or ())
