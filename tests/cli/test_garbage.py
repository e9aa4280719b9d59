"""Collections of cycles: what came since is found each time, what was set aside once an hour."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from cli.garbage import collect, paced


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_a_cycle_that_came_since_is_collected_and_what_lives_is_set_aside():
    lives = Cycle()
    gone = weakref.ref(Cycle())

    aside = collect(whole=False)

    assert gone() is None
    assert aside == gc.get_freeze_count() > 0
    assert lives.itself is lives


def test_a_cycle_that_ended_after_it_was_set_aside_is_found_when_everything_is_looked_at():
    one = Cycle()
    ended = weakref.ref(one)
    collect(whole=False)
    del one

    collect(whole=False)
    assert ended() is not None, "what is set aside is not looked at"
    collect(whole=True)
    assert ended() is None


async def test_python_makes_no_full_collection_meanwhile_and_is_as_before_afterwards():
    before, full = gc.get_threshold(), gc.get_stats()[2]["collections"]

    with paced():
        begun = gc.get_stats()[2]["collections"]
        kept = [Cycle() for _ in range(300_000)]
        assert gc.get_stats()[2]["collections"] == begun > full
        assert len(kept) == 300_000

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
