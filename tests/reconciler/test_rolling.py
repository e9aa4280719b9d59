"""Who is being changed unasked is known from the state store before the first of those changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.objects import Site
from model.spec import Snapshot
from reconciler.render import site_of

from .memory import Life, life


class Killed(BaseException):
    """As kill -9: nothing of the daemon runs any more."""


async def test_a_daemon_that_dies_of_its_first_unasked_write_leaves_the_mark_for_the_next():
    one = life()
    await one.settle()
    upgraded(one)

    with pytest.raises(Killed):
        await one.one_pass()

    assert one.memory.row.status.rolling_since == one.memory.clock.now


async def test_the_mark_goes_when_all_is_well_again():
    one = life()
    await one.settle()
    upgraded(one)
    with pytest.raises(Killed):
        await one.one_pass()

    one.restart()
    one.tools = replace(one.tools, site_of=of_the_next_release)
    await one.settle()

    assert one.memory.row.status.rolling_since is None


async def test_what_somebody_asked_for_costs_no_such_mark():
    one = life()
    await one.settle()
    records = one.memory.writes
    one.memory.ask(replace(one.memory.row.spec, restarted_at="now"))

    await one.one_pass()

    assert one.memory.writes == records + 1


def upgraded(one: Life) -> None:
    """Another release of ours renders from now on, and dies of its first write."""
    [driver] = one.tools.drivers

    async def die(owner: object, action: object) -> None:
        raise Killed

    driver.apply = die
    one.tools = replace(one.tools, site_of=of_the_next_release)


def of_the_next_release(before: Snapshot) -> Site | None:
    return site_of(before, installation="simulated", home="/home", database=("127.0.0.1", 5433))
