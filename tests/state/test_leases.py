"""A lease has one holder, a new epoch at each takeover, and ends by the database's clock."""

import asyncio
import time

import pytest

from state.leases import Leases


@pytest.fixture
def leases(database):
    return Leases(database)


def _expire(execute):
    execute("UPDATE core.leases SET expires_at = now() - interval '1 second'")


async def test_a_free_lease_is_taken_and_another_must_wait(leases):
    lease = await leases.acquire("local", "a")

    assert lease is not None
    assert await leases.acquire("local", "b") is None
    assert await leases.acquire("other", "b") is not None


async def test_of_many_who_ask_at_once_one_gets_it(leases):
    answers = await asyncio.gather(*(leases.acquire("local", f"holder {one}") for one in range(20)))

    assert sum(one is not None for one in answers) == 1


async def test_a_holder_stops_before_its_lease_could_have_ended(leases):
    asked_at = time.monotonic()
    lease = await leases.acquire("local", "a")

    assert lease.is_held(asked_at)
    assert not lease.is_held(asked_at + 13)
    assert lease.ends_at <= time.monotonic() + 12


async def test_renewing_keeps_the_epoch_and_moves_the_end(leases, execute):
    lease = await leases.acquire("local", "a")
    execute("UPDATE core.leases SET expires_at = now() + interval '1 second'")
    renewed = await leases.renew(lease)
    ((seconds,),) = execute("SELECT extract(epoch FROM expires_at - now())::float FROM core.leases")

    assert renewed.epoch == lease.epoch
    assert renewed.ends_at > lease.ends_at
    assert 10 < seconds <= 15


async def test_an_expired_lease_is_taken_over_with_a_greater_epoch(leases, execute):
    old = await leases.acquire("local", "a")
    _expire(execute)
    new = await leases.acquire("local", "b")

    assert new.epoch > old.epoch
    assert await leases.renew(old) is None
    assert await leases.renew(new) is not None


async def test_the_same_holder_that_starts_again_gets_a_new_epoch(leases, execute):
    first = await leases.acquire("local", "a")
    _expire(execute)
    second = await leases.acquire("local", "a")

    assert second.epoch > first.epoch
    assert await leases.renew(first) is None


async def test_a_released_lease_is_free_at_once_and_its_epoch_is_not_used_again(leases):
    first = await leases.acquire("local", "a")
    await leases.release(first)
    second = await leases.acquire("local", "b")

    assert second.epoch > first.epoch


async def test_who_lost_a_lease_cannot_release_it(leases, execute):
    old = await leases.acquire("local", "a")
    _expire(execute)
    new = await leases.acquire("local", "b")
    await leases.release(old)

    assert await leases.renew(new) is not None
