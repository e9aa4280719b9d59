"""The simulated store keeps the rules of the real one."""

from __future__ import annotations

from random import Random

import pytest

from model.names import Owner, Ref
from model.objects import Known
from model.status import Record, Status

from .loop import SimLoop
from .rows import Row
from .store import LEASE, Store
from .tables import Fenced, Unreachable
from .user import People, Step

OWNER = Owner("deployment", "1")
KNOWN = Known(ref=Ref("Sim.Process", "a"), unit="a", digest="d")


def lived(work):
    """Run a coroutine function on a store of its own, in virtual time."""
    loop, store = SimLoop(1), Store(Random(1))
    try:
        return loop.run_until_complete(work(store, loop))
    finally:
        loop.close()


def make(store, at=0.0):
    People(store=store, clusters=("c1",)).do(Step(at=at, deployment=0, verb="create", number=0.0))


async def lead(store, times=1):
    """A daemon leads; its epoch counts how often it asked."""
    for _ in range(times):
        lease = await store.acquire(LEASE, "a")
    return lease.epoch


def record(epoch, generation, **parts):
    return Record(owner=OWNER, epoch=epoch, status=Status(observed_generation=generation), **parts)


def test_a_record_of_an_older_epoch_or_generation_is_fenced():
    async def work(store, loop):
        make(store)
        await lead(store, times=2)
        await store.record(record(2, 5))
        # an epoch that is higher than the lease's is of a time that a restore took back
        for late in (record(1, 6), record(2, 4), record(3, 6)):
            with pytest.raises(Fenced):
                await store.record(late)
        return store.tables.rows[OWNER].status.observed_generation

    assert lived(work) == 5


def test_a_lease_has_one_holder_until_it_ends_and_a_new_epoch_each_time():
    async def work(store, loop):
        first = await store.acquire("l", "a")
        assert await store.acquire("l", "b") is None
        await wait(loop, 16)
        second = await store.acquire("l", "b")
        assert await store.renew(first) is None
        return first.epoch, second.epoch, first.is_held(loop.time()), second.is_held(loop.time())

    assert lived(work) == (1, 2, False, True)


async def wait(loop, seconds):
    future = loop.create_future()
    loop.call_later(seconds, future.set_result, None)
    await future


def test_secrets_are_minted_once():
    async def work(store, loop):
        make(store)
        await store.mint(OWNER, {"a": "x"})
        before = dict(store.tables.rows[OWNER].values)
        await store.mint(OWNER, {"a": "y", "b": "z"})
        return all(store.tables.rows[OWNER].values[key] == value for key, value in before.items())

    assert lived(work)


def test_an_equal_record_writes_nothing():
    async def work(store, loop):
        make(store)
        await lead(store)
        await store.record(record(1, 1, objects=(KNOWN,)))
        writes = store.writes
        await store.record(record(1, 1, objects=(KNOWN,)))
        return store.writes - writes

    assert lived(work) == 0


def test_an_owner_ends_only_when_its_retention_is_over_and_nothing_is_known_of_it():
    async def work(store, loop):
        make(store)
        await lead(store)
        await store.record(record(1, 1, objects=(KNOWN,), remove_owner=True))
        assert OWNER in store.tables.rows
        row = store.tables.rows[OWNER]
        store.ask(OWNER, deletion=(store.now, store.now))
        await store.record(Record(owner=OWNER, epoch=1, remove_owner=True))
        assert OWNER in store.tables.rows, "an object is known"
        await store.record(Record(owner=OWNER, epoch=1, forget=(KNOWN.ref,), remove_owner=True))
        return row.spec is not None and OWNER not in store.tables.rows

    assert lived(work)


def test_a_lost_answer_means_that_it_was_written():
    async def work(store, loop):
        make(store)
        await lead(store)
        store.trouble.lost_answers = 1.0
        with pytest.raises(Unreachable):
            await store.record(record(1, 1))
        return store.tables.rows[OWNER].status

    assert lived(work) is not None


def test_a_backup_brings_everything_back_as_it_was():
    async def work(store, loop):
        make(store)
        await wait(loop, 10)
        store.ask(OWNER, paused_until=store.now, pause_reason="x")
        changes = store.tables.changes
        await wait(loop, 10)
        assert store.restore(15)
        return store.tables.rows[OWNER].generation, changes - store.tables.changes

    assert lived(work) == (1, 1)


def test_what_nobody_observed_is_due():
    async def work(store, loop):
        make(store)
        await lead(store)
        due = await store.due()
        await store.record(record(1, 1))
        return set(due), set(await store.due()), isinstance(store.tables.rows[OWNER], Row)

    assert lived(work) == ({OWNER}, set(), True)
