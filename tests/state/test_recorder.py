"""Records are written in few transactions, in order, and each caller learns what became of its own."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.names import Owner
from model.status import Event, Record, Status
from state.errors import Fenced, StateError, Unreachable
from state.recorder import BATCH_ROWS_MAX, Recorder


def _record(number=1, events=0):
    said = tuple(Event(reason="Said", message=str(one)) for one in range(events))
    return Record(
        owner=Owner("deployment", str(number)), epoch=1, status=Status(observed_generation=1), events=said
    )


class Written:
    """A place that records are written to: batches in the order they came."""

    def __init__(self):
        self.batches = []
        self.refused = frozenset()
        self.unreachable = False

    async def __call__(self, batch):
        if self.unreachable:
            raise Unreachable("not there")
        if any(one.owner in self.refused for one in batch):
            raise StateError("refused")
        self.batches.append(batch)
        return tuple("too old" if one.epoch == 0 else None for one in batch)


@pytest.fixture
def written():
    return Written()


@pytest.fixture
def recorder(written):
    return Recorder(written, interval_seconds=0.01)


async def test_records_of_the_same_moment_are_one_transaction(recorder, written):
    records = [_record(one) for one in range(20)]
    await asyncio.gather(*(recorder.record(one) for one in records))

    assert written.batches == [tuple(records)]


async def test_a_record_that_comes_alone_is_written_at_once(written):
    recorder = Recorder(written, interval_seconds=3600)
    async with asyncio.timeout(5):
        await recorder.record(_record(1))

    assert written.batches == [(_record(1),)]


async def test_records_soon_after_a_batch_are_collected(written):
    recorder = Recorder(written, interval_seconds=0.1)
    await recorder.record(_record(1))
    second = asyncio.create_task(recorder.record(_record(2)))
    await asyncio.sleep(0.01)
    await asyncio.gather(second, recorder.record(_record(3)))

    assert written.batches == [(_record(1),), (_record(2), _record(3))]


async def test_a_full_batch_is_not_waited_for(written):
    recorder = Recorder(written, interval_seconds=3600)
    async with asyncio.timeout(5):
        await asyncio.gather(*(recorder.record(_record(one)) for one in range(BATCH_ROWS_MAX)))

    assert len(written.batches) == 1


@given(sizes=st.lists(st.integers(0, 250), min_size=1, max_size=40))
def test_every_record_is_written_once_in_order_and_no_batch_is_too_large(sizes):
    written = Written()
    records = [_record(number, events) for number, events in enumerate(sizes)]

    async def scenario():
        recorder = Recorder(written, interval_seconds=0)
        await asyncio.gather(*(recorder.record(one) for one in records))

    with asyncio.Runner() as runner:
        runner.run(scenario())
    asyncio.set_event_loop(None)

    assert [one for batch in written.batches for one in batch] == records
    assert all(
        len(batch) == 1 or sum(1 + len(one.events) for one in batch) <= BATCH_ROWS_MAX for batch in written.batches
    )


async def test_only_the_fenced_record_is_told_so(recorder, written):
    old = Record(owner=Owner("deployment", "1"), epoch=0, status=Status(observed_generation=1))
    answers = await asyncio.gather(recorder.record(old), recorder.record(_record(2)), return_exceptions=True)

    assert isinstance(answers[0], Fenced)
    assert answers[1] is None


async def test_a_refused_record_does_not_take_the_others_down(recorder, written):
    written.refused = frozenset({Owner("deployment", "2")})
    answers = await asyncio.gather(*(recorder.record(_record(one)) for one in (1, 2, 3)), return_exceptions=True)

    assert [type(one) for one in answers] == [type(None), StateError, type(None)]
    assert written.batches == [(_record(1),), (_record(3),)]


async def test_when_the_store_is_away_every_caller_is_told_and_the_next_batch_is_tried(recorder, written):
    written.unreachable = True
    answers = await asyncio.gather(
        recorder.record(_record(1)), recorder.record(_record(2)), return_exceptions=True
    )
    written.unreachable = False
    await recorder.record(_record(3))

    assert [type(one) for one in answers] == [Unreachable, Unreachable]
    assert written.batches == [(_record(3),)]


async def test_an_empty_record_is_not_written(recorder, written):
    await recorder.record(Record(owner=Owner("deployment", "1"), epoch=1))

    assert written.batches == []


async def test_a_caller_that_gave_up_does_not_stop_its_batch(recorder, written):
    gone = asyncio.create_task(recorder.record(_record(1)))
    await asyncio.sleep(0)
    gone.cancel()
    await recorder.record(_record(2))

    assert written.batches == [(_record(1), _record(2))]


async def test_closing_writes_what_waits_and_takes_no_more(written):
    recorder = Recorder(written, interval_seconds=3600)
    waiting = asyncio.create_task(recorder.record(_record(1)))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await recorder.close()
        await waiting
    with pytest.raises(Unreachable):
        await recorder.record(_record(2))

    assert written.batches == [(_record(1),)]
