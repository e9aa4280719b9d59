"""Footprints: our own writes must be seen, a view never goes back, and a fight is not fought at full speed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.names import Owner, Ref
from model.objects import Drift, Observed
from model.plan import Cause, Update
from reconciler.footprints import Footprints
from reconciler.limits import Limits

from .sketch import OWNER, object_of, observed, process, seen

WEB = process("web")
REF = Ref("Process", "web")
LIMITS = Limits()
OTHER = Owner("deployment", "8")


def update(cause: Cause = Cause.GENERATION) -> Update:
    return Update(object=object_of(WEB), cause=cause, why="it differs")


def cached(version: int, **rest) -> Observed:
    return observed(seen(WEB), as_of={"Process": version}, **rest)


def look(prints: Footprints, view: Observed, *, fresh: bool = False, now: float = 0.0):
    return prints.seen(OWNER, view, fresh=fresh, now=now)


# --- our own writes ---------------------------------------------------------------------------------------


def test_a_view_without_our_last_write_says_so_until_it_holds_it():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 12, 0.0)

    assert [set(look(prints, cached(version)).unseen) for version in (10, 11, 12, 13)] == [
        {REF},
        {REF},
        set(),
        set(),
    ]


def test_only_the_newest_write_of_an_object_counts():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 12, 0.0)
    prints.wrote(OWNER, update(), 14, 1.0)

    assert look(prints, cached(13)).unseen
    assert not look(prints, cached(14)).unseen


def test_a_write_to_another_kind_or_owner_makes_nothing_unseen():
    prints = Footprints(LIMITS)
    prints.wrote(OTHER, update(), 12, 0.0)

    assert not look(prints, cached(10)).unseen


def test_a_kind_that_is_read_from_the_world_itself_holds_every_write():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 12, 0.0)

    assert not look(prints, observed(seen(WEB))).unseen


def test_a_driver_without_versions_leaves_no_footprints():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 0, 0.0)

    assert not look(prints, cached(1)).unseen


def test_a_kind_that_is_blind_has_shown_no_write():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 12, 0.0)
    look(prints, Observed(blind={"Process": "403"}))

    assert look(prints, cached(11)).unseen


def test_a_cache_that_stays_behind_for_long_is_doubted():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 12, 100.0)

    assert not look(prints, cached(11), now=100.0 + LIMITS.unseen_seconds_max).is_doubtful
    assert look(prints, cached(11), now=100.1 + LIMITS.unseen_seconds_max).is_doubtful


def test_a_fresh_view_is_the_truth_whatever_was_written_or_seen():
    prints = Footprints(LIMITS)
    prints.wrote(OWNER, update(), 12, 0.0)
    look(prints, cached(20))
    sight = look(prints, cached(5), fresh=True, now=99.0)

    assert (sight.observed, dict(sight.unseen), sight.is_doubtful) == (cached(5), {}, False)


def test_after_a_fresh_view_the_cache_is_held_against_that_one():
    prints = Footprints(LIMITS)
    look(prints, cached(20))
    look(prints, cached(5), fresh=True)  # the cluster was restored: its versions began anew

    assert not look(prints, cached(6)).is_doubtful
    assert look(prints, cached(4)).is_doubtful


def test_a_fresh_view_that_was_blind_has_shown_nothing():
    prints = Footprints(LIMITS)
    look(prints, cached(20))
    prints.wrote(OWNER, update(), 22, 0.0)
    look(prints, Observed(blind={"Process": "503"}), fresh=True)

    assert look(prints, cached(21)).unseen
    assert look(prints, cached(19)).is_doubtful


# --- time does not go back --------------------------------------------------------------------------------


def test_a_view_that_went_back_in_time_is_blind_and_doubted():
    prints = Footprints(LIMITS)
    look(prints, cached(20))
    sight = look(prints, cached(19))

    assert sight.is_doubtful
    assert sight.observed.blind == {"Process": "the view went back in time; the world itself is asked"}


def test_one_kind_that_went_back_leaves_the_others_visible():
    prints = Footprints(LIMITS)
    look(prints, Observed(as_of={"Process": 20, "Volume": 20}))
    sight = look(prints, Observed(as_of={"Process": 19, "Volume": 21}, blind={"Secret": "403"}))

    assert set(sight.observed.blind) == {"Process", "Secret"}


def test_a_view_that_went_back_does_not_lower_the_mark():
    prints = Footprints(LIMITS)
    for version in (20, 10, 15):
        sight = look(prints, cached(version))

    assert sight.is_doubtful


def test_what_one_owner_was_shown_says_nothing_of_another():
    prints = Footprints(LIMITS)
    prints.seen(OTHER, cached(20), fresh=False, now=0.0)

    assert not look(prints, cached(10)).is_doubtful


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=30))
def test_law_a_view_older_than_one_already_seen_is_never_acted_upon(views):
    """Whatever order views come in: a kind is either visible and no older than before, or blind and doubted."""
    prints, newest = Footprints(LIMITS), 0
    for version, fresh in views:
        sight = look(prints, cached(version), fresh=fresh)
        if fresh:
            newest = version
        is_visible = "Process" not in sight.observed.blind
        assert is_visible is (version >= newest)
        assert sight.is_doubtful is not is_visible
        newest = max(newest, version)


@given(
    st.lists(
        st.one_of(st.tuples(st.just("write"), st.integers(0, 3)), st.tuples(st.just("view"), st.integers(0, 6))),
        max_size=40,
    )
)
def test_law_what_we_wrote_is_unseen_exactly_until_a_view_reaches_it(steps):
    """The world's version grows by our writes; a view lags behind it by so much and never goes back."""
    prints, world, written, reached = Footprints(LIMITS), 10, 0, 0
    for what, amount in steps:
        if what == "write":
            world += 1 + amount
            written = world
            prints.wrote(OWNER, update(), world, 0.0)
        else:
            reached = max(reached, world - amount)
            sight = look(prints, cached(reached))
            assert bool(sight.unseen) is (reached < written)


# --- fights -----------------------------------------------------------------------------------------------


def repaired(prints: Footprints, *times: float) -> None:
    for at in times:
        prints.wrote(OWNER, update(Cause.DRIFT), 0, at)


def fighting(prints: Footprints, now: float) -> bool:
    return REF in prints.fights(OWNER, observed(seen(WEB)), now)


def test_a_few_repairs_are_no_fight():
    prints = Footprints(LIMITS)
    repaired(prints, 0.0, 1.0)

    assert not fighting(prints, 1.0)


def test_three_repairs_in_a_minute_are_one_and_the_next_waits_a_minute():
    prints = Footprints(LIMITS)
    repaired(prints, 0.0, 10.0, 20.0)

    assert fighting(prints, 20.0)
    assert fighting(prints, 79.9)
    assert not fighting(prints, 80.0)


def test_three_repairs_over_a_longer_time_are_none():
    prints = Footprints(LIMITS)
    repaired(prints, 0.0, 40.0, 80.0)

    assert not fighting(prints, 80.0)


def test_changes_that_were_asked_for_are_no_repairs():
    prints = Footprints(LIMITS)
    for cause in set(Cause) - {Cause.DRIFT}:
        for at in range(9):
            prints.wrote(OWNER, update(cause), 0, float(at))

    assert not fighting(prints, 9.0)


def test_a_fight_that_goes_on_is_fought_slower_up_to_a_bound():
    prints, now, waits = Footprints(LIMITS), 0.0, []
    for _ in range(20):
        repaired(prints, now)
        began = now
        while fighting(prints, now):
            now += 1.0
        waits.append(now - began)

    assert waits[:5] == [0.0, 0.0, 60.0, 120.0, 240.0]
    assert min(waits[2:]) >= LIMITS.repairs_seconds
    assert max(waits) <= 300.0


def test_a_fight_is_forgotten_when_there_was_peace_for_long():
    prints = Footprints(LIMITS)
    repaired(prints, 0.0, 1.0, 2.0, 100.0)
    repaired(prints, 4000.0)

    assert not fighting(prints, 4000.0)


@pytest.mark.parametrize(("by", "named"), [("hpa-controller", "hpa-controller"), ("", "somebody")])
def test_a_fight_names_the_other_side_where_it_is_known(by, named):
    prints = Footprints(LIMITS)
    repaired(prints, 0.0, 1.0, 2.0)
    view = observed(seen(WEB, drift=(Drift(what="replicas is 5", by=by),)))

    assert f"Process/web is changed back by {named} each time" in prints.fights(OWNER, view, 3.0)[REF]


def test_an_owner_that_is_gone_leaves_no_footprints():
    prints = Footprints(LIMITS)
    repaired(prints, 0.0, 1.0, 2.0)
    prints.wrote(OWNER, update(), 12, 0.0)
    prints.forget(OWNER)

    assert not fighting(prints, 2.0)
    assert not look(prints, cached(1)).unseen


@given(gaps=st.lists(st.floats(0.0, 120.0), min_size=10, max_size=60))
def test_law_whoever_undoes_us_at_once_makes_us_repair_at_most_so_often(gaps):
    """Repairing whenever it is allowed: beyond the first three, never two within a minute."""
    prints, now, times = Footprints(LIMITS), 0.0, []
    for gap in gaps:
        now += gap
        if not fighting(prints, now):
            repaired(prints, now)
            times.append(now)

    for first, fourth in zip(times, times[3:], strict=False):
        assert fourth - first >= LIMITS.repairs_seconds
