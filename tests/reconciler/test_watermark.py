"""The watermark: a state database that does not know what its clusters do changes nothing until a takeover."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Stamp, Unavailable
from model.names import Moment
from reconciler.leadership import Term
from reconciler.limits import Limits
from reconciler.watermark import INTERVAL_SECONDS, TAKEOVER_EPOCHS, Watermark

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HERE = "installation-1"
UNSEEN = "could not be seen so far"
FOREIGN = "does not know change"


class StoreDown(Exception):
    """The store could not be used."""


@dataclass
class Cluster:
    """A cluster that remembers one stamp, and may be out of reach."""

    stamp: Stamp | None = None
    is_reachable: bool = True
    writes: list[Stamp] = field(default_factory=list)
    reads: int = 0
    seconds: float = 0.0

    async def read_stamp(self) -> Stamp | None:
        await self._reach()
        self.reads += 1
        return self.stamp

    async def write_stamp(self, stamp: Stamp) -> None:
        await self._reach()
        self.stamp = stamp
        self.writes.append(stamp)

    async def _reach(self) -> None:
        await asyncio.sleep(self.seconds)
        if not self.is_reachable:
            raise Unavailable("connection refused")


@dataclass
class Database:
    """A history of changes, each with a token of its own, and the lease under which it is worked on."""

    history: list[Moment] = field(default_factory=lambda: [Moment(number, f"a{number}") for number in range(11)])
    epoch: int | None = 1
    gained: int = 1
    is_reachable: bool = True
    tokens: int = 0

    @property
    def term(self) -> Term | None:
        return None if self.epoch is None else Term(self.gained, self.epoch)

    async def moment(self) -> Moment:
        self._reach()
        return self.history[-1]

    async def knows(self, moment: Moment) -> bool:
        self._reach()
        return moment in self.history

    async def tend(self) -> None:
        """There is no history to keep."""

    def change(self) -> None:
        """Somebody changes what is desired. Numbers are counted; a token never comes twice."""
        self.tokens += 1
        self.history.append(Moment(self.history[-1].number + 1, f"b{self.tokens}"))

    def restore(self, number: int) -> None:
        """The database is what it was at that change."""
        self.history = [one for one in self.history if one.number <= number]

    def _reach(self) -> None:
        if not self.is_reachable:
            raise StoreDown("no connection")


@dataclass(frozen=True)
class Parts:
    """As much of a daemon's parts as a watermark needs."""

    index: Database
    stamps: dict[str, Cluster]
    installation: str = HERE
    tools: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(limits=Limits()))
    store_errors: tuple[type[Exception], ...] = (StoreDown,)

    @property
    def leadership(self) -> Database:
        return self.index


def stamp(number: int, *, token: str = "", epoch: int = 1, installation: str = HERE) -> Stamp:
    moment = Moment(number, token or f"a{number}")
    return Stamp(installation=installation, epoch=epoch, moment=moment)


def made(*clusters: tuple[str, Cluster], **database) -> tuple[Watermark, Database]:
    parts = Parts(Database(**database), dict(clusters or (("east", Cluster()),)))
    return Watermark(parts, newest=lambda: Moment(-1)), parts.index


async def verified(mark: Watermark, database: Database, cluster: str = "east") -> str:
    """Why a cluster is held after it was compared."""
    await mark.verified(cluster, database.term)
    return mark.hold(cluster)


@asynccontextmanager
async def kept(mark: Watermark):
    """A watermark that is kept in the background for a while."""
    keeping = asyncio.create_task(mark.keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def a_moment() -> None:
    await asyncio.sleep(INTERVAL_SECONDS + 0.1)


# --- comparing --------------------------------------------------------------------------------------------


async def test_nothing_is_changed_in_a_cluster_that_was_not_compared_yet():
    mark, _ = made()

    assert UNSEEN in mark.hold("east")


async def test_a_cluster_that_remembers_nothing_gets_a_stamp_and_may_be_changed():
    cluster = Cluster()
    mark, database = made(("east", cluster))

    assert await verified(mark, database) == ""
    assert cluster.stamp == stamp(10)


@pytest.mark.parametrize(
    ("there", "holds"),
    [
        (stamp(10), False),
        (stamp(9), False),
        (stamp(11), True),
        (stamp(9, token="of another history"), True),
        (stamp(10, epoch=2), True),
        (stamp(9, installation="installation-2"), True),
    ],
    ids=[
        "the same change",
        "an older change",
        "a change that is not known",
        "a known number with another token",
        "a lease that is not known",
        "another installation",
    ],
)
async def test_a_cluster_is_held_when_it_was_brought_to_something_this_database_does_not_know(there, holds):
    cluster = Cluster(stamp=there)
    mark, database = made(("east", cluster))
    why = await verified(mark, database)

    assert (FOREIGN in why) is holds
    assert cluster.stamp == (there if holds else stamp(10))


async def test_a_hold_says_what_is_not_known_and_what_to_do():
    mark, database = made(("east", Cluster(stamp=stamp(17, epoch=3, installation="installation-2"))))

    assert await verified(mark, database) == (
        "The state database does not know change 17 (lease 3), which this cluster was brought to by installation "
        "installation-2: it is another one, or was restored from a backup. Nothing is changed. Look at what is "
        "missing, then take over with: SELECT armillary.takeover('<reason>')."
    )


async def test_a_cluster_that_cannot_be_reached_is_held_and_not_judged():
    cluster = Cluster(is_reachable=False)
    mark, database = made(("east", cluster))

    assert UNSEEN in await verified(mark, database)
    async with kept(mark):
        cluster.is_reachable = True
        await a_moment()

        assert mark.hold("east") == ""


async def test_a_store_that_cannot_be_read_holds_and_writes_no_stamp():
    cluster = Cluster()
    mark, database = made(("east", cluster), is_reachable=False)

    assert UNSEEN in await verified(mark, database)
    assert cluster.stamp is None


async def test_a_cluster_without_a_memory_is_never_held_for_its_own_sake():
    mark, database = made()

    assert await verified(mark, database, "west") == ""


async def test_one_cluster_that_is_ahead_holds_them_all_because_they_share_the_database():
    mark, database = made(("east", Cluster()), ("west", Cluster(stamp=stamp(99))))
    await verified(mark, database, "east")
    await verified(mark, database, "west")

    assert FOREIGN in mark.hold("east")
    assert FOREIGN in mark.hold("somewhere without a memory")


async def test_many_passes_at_once_compare_a_cluster_once():
    cluster = Cluster(seconds=1.0)
    mark, database = made(("east", cluster))
    await asyncio.gather(*(mark.verified("east", database.term) for _ in range(20)))

    assert cluster.reads == 1


async def test_under_another_lease_every_cluster_is_compared_again():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    await verified(mark, database)
    database.epoch = 2

    assert UNSEEN in mark.hold("east")
    assert await verified(mark, database) == ""
    assert cluster.stamp == stamp(10, epoch=2)


async def test_a_restored_database_that_gives_the_same_lease_again_is_compared_again():
    """Nobody saw the moment in between in which this daemon did not lead."""
    mark, database = made(("east", Cluster()))
    async with kept(mark):
        await a_moment()
        database.restore(7)
        for _ in range(5):
            database.change()  # the numbers are past the stamp's again
        database.gained += 1
        before = mark.hold("east")
        await verified(mark, database)

    assert UNSEEN in before
    assert FOREIGN in mark.hold("east")


async def test_a_pass_in_a_cluster_that_hangs_waits_no_longer_than_a_look_may_take(looptime):
    mark, database = made(("east", Cluster(seconds=1e6)))

    assert UNSEEN in await verified(mark, database)
    assert looptime <= Limits().observe_seconds_max


async def test_a_pass_in_one_cluster_waits_for_another_that_hangs_for_seconds_only(looptime):
    mark, database = made(("east", Cluster()), ("west", Cluster(seconds=1e6)))

    assert await verified(mark, database, "east") == ""
    assert looptime < 5.0


# --- keeping ----------------------------------------------------------------------------------------------


async def test_the_stamp_follows_the_changes_and_is_not_written_without_one():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        await a_moment()
        await a_moment()
        database.change()
        database.change()
        await a_moment()

    assert cluster.writes == [stamp(10), stamp(12, token="b2")]


async def test_a_database_that_is_restored_under_a_running_daemon_is_noticed_within_seconds():
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        await a_moment()
        before = mark.hold("east")
        database.restore(4)
        await a_moment()

    assert before == ""
    assert "does not know change 10" in mark.hold("east")
    assert cluster.stamp == stamp(10)


async def test_a_restored_database_stays_held_when_its_numbers_have_caught_up():
    """People went on changing it: the numbers are there again, and what they stood for is not."""
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        await a_moment()
        database.restore(4)
        for _ in range(12):
            database.change()
            await a_moment()

    assert database.history[-1].number > 10
    assert FOREIGN in mark.hold("east")
    assert cluster.stamp == stamp(10)


async def test_a_hold_stays_for_as_long_as_nobody_takes_over():
    cluster = Cluster(stamp=stamp(17))
    mark, database = made(("east", cluster))
    async with kept(mark):
        await asyncio.sleep(3600.0)
        database.epoch = 2
        await asyncio.sleep(3600.0)

    assert FOREIGN in mark.hold("east")
    assert cluster.stamp == stamp(17)


@pytest.mark.parametrize("there", [stamp(17, epoch=40), stamp(17, installation="installation-2")])
async def test_a_takeover_ends_the_hold_of_every_cluster_and_stamps_them_anew(there):
    east, west = Cluster(stamp=there), Cluster(stamp=replace(there, epoch=7))
    mark, database = made(("east", east), ("west", west))
    async with kept(mark):
        await a_moment()
        held = mark.hold("east")
        database.epoch += TAKEOVER_EPOCHS
        await a_moment()

    assert FOREIGN in held
    assert mark.hold("east") == mark.hold("west") == ""
    assert east.stamp == west.stamp == stamp(10, epoch=1 + TAKEOVER_EPOCHS)


async def test_the_right_database_ends_the_hold_by_itself():
    mark, database = made()
    whole = database.history
    async with kept(mark):
        await a_moment()
        database.restore(4)
        await a_moment()
        database.history = whole
        await a_moment()

    assert mark.hold("east") == ""


async def test_one_that_does_not_lead_writes_no_stamp():
    cluster = Cluster()
    mark, _ = made(("east", cluster), epoch=None)
    async with kept(mark):
        await a_moment()

    assert cluster.writes == []


async def test_a_restore_is_noticed_in_one_cluster_while_another_hangs():
    mark, database = made(("east", Cluster()), ("west", Cluster(seconds=1e6)))
    async with kept(mark):
        await asyncio.sleep(60.0)
        database.change()
        await asyncio.sleep(60.0)
        database.restore(4)
        await asyncio.sleep(60.0)

    assert "does not know change 11" in mark.hold("east")


# --- laws -------------------------------------------------------------------------------------------------

_STEPS = st.sampled_from(
    ["change", "restore", "another lease", "cluster lost", "cluster back", "store down", "store up"]
)


@given(steps=st.lists(_STEPS, max_size=25))
async def test_law_a_stamp_is_only_ever_replaced_by_a_later_one_of_the_same_history(steps):
    """Whatever happens to either side: who does not know what a cluster was brought to writes nothing there."""
    cluster = Cluster()
    mark, database = made(("east", cluster))
    async with kept(mark):
        for step in steps:
            was = cluster.stamp
            match step:
                case "change":
                    database.change()
                case "restore":
                    database.restore(max(0, database.history[-1].number - 3))
                case "another lease":
                    database.epoch += 1
                case "cluster lost" | "cluster back":
                    cluster.is_reachable = step == "cluster back"
                case _:
                    database.is_reachable = step == "store up"
            await a_moment()
            if was is not None and was.moment not in database.history:
                assert cluster.stamp == was
                assert mark.hold("east") or not (cluster.is_reachable and database.is_reachable)

    changes = [(one.epoch, one.moment.number) for one in cluster.writes]
    assert changes == sorted(changes)
