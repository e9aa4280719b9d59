"""Calls: what befalls whoever calls a simulated world, before anything happened and after it has."""

from __future__ import annotations

import asyncio

from drivers.base import Conflict, Refused, Throttled, Unavailable
from drivers.simulation.world import World
from model.names import Ref


async def reach(world: World) -> None:
    """Every call begins here. Raises Unavailable, or never comes back, and then nothing happened."""
    await world.delay()
    faults = world.faults
    if world.is_black_hole or world.befall("black hole", faults.black_holes) or world.chance(faults.hangs, "hang"):
        await _silence()
    if world.is_down or world.befall("down", faults.down):
        raise Unavailable("the simulated world does not answer")
    if world.chance(faults.unavailable_before, "unavailable before"):
        raise Unavailable("the simulated world answered 503 and did nothing")
    if world.chance(faults.throttled, "throttled"):
        seconds = world.draw(faults.retry_after) if faults.retry_after[1] > 0 else None
        raise Throttled("429: the simulated world asks for fewer calls", retry_after_seconds=seconds)
    if world.chance(faults.slow, "slow"):
        await world.sleep(world.draw(faults.slowness))


def permit(world: World, ref: Ref, *, is_new: bool) -> None:
    """Every write passes here before it has an effect. Raises Refused and Conflict."""
    faults = world.faults
    if world.is_under(forbidden(ref)):
        raise Refused(f"403: {ref} may not be written; this is allowed again after a while")
    if world.befall("quota", faults.quota) and is_new:
        raise Refused(f"403: {ref} exceeds the quota; delete something, or wait until it is raised")
    if world.chance(faults.conflicts, "conflict"):
        raise Conflict(f"409: {ref} was written by somebody else at the same time; look again")
    if world.chance(faults.refusals, "refused"):
        raise Refused(f"422: {ref} was not accepted this time")


async def answer(world: World) -> None:
    """Every write ends here, after its effect. Raises Unavailable, or never comes back."""
    await world.delay()
    if world.chance(world.faults.lost_answers, "lost answer"):
        await _silence()
    if world.chance(world.faults.unavailable_after, "unavailable after"):
        raise Unavailable("the simulated world did not say whether it heard")


def forbidden(ref: Ref) -> str:
    """The name of the spell under which this kind is forbidden."""
    return f"forbidden {ref.kind}"


async def _silence() -> None:
    """Nobody answers, until the caller loses patience and cancels."""
    await asyncio.Event().wait()
