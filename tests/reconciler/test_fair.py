"""The laws of the fair order: shares follow weights, newcomers wait for one key of each other, nobody starves."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, count

from hypothesis import given, settings
from hypothesis import strategies as st

from model.names import Owner, Place
from reconciler.fair import FairOrder, Priority, Wish

PATIENCE = 10.0
MANY = 200

priorities = st.sampled_from(Priority)


class Lane:
    """A fair order that is told workspaces, and tells whose turn it is."""

    def __init__(self, weights: dict[str, float] | None = None) -> None:
        self.order = FairOrder(weights=weights or {}, patience_seconds=PATIENCE)
        self.numbers = count()

    def put(self, workspace: str, *, now: float = 0.0, priority: Priority = Priority.CHANGE) -> Owner:
        number = next(self.numbers)
        owner = Owner("deployment", str(number))
        place = Place("", workspace)
        self.order.put(Wish(due=now, number=number, owner=owner, priority=priority, place=place), now)
        return owner

    def fill(self, pending: dict[str, int], *, priority: Priority = Priority.CHANGE) -> None:
        for workspace, keys in pending.items():
            for _ in range(keys):
                self.put(workspace, priority=priority)

    def pop(self, now: float = 0.0) -> Wish:
        wish = self.order.pop(now)
        assert wish is not None
        return wish

    def until(self, owner: Owner, now: float = 0.0) -> Counter[str]:
        """How many keys of each workspace go before that one."""
        before: Counter[str] = Counter()
        while (wish := self.pop(now)).owner != owner:
            before[wish.place.workspace] += 1
        return before


@given(
    weights=st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0, 7.0]), min_size=2, max_size=5),
    pops=st.integers(1, MANY),
    priority=priorities,
)
def test_shares_follow_weights_at_every_moment(weights, pops, priority):
    weight = {f"team {number}": one for number, one in enumerate(weights)}
    lane = Lane(weight)
    lane.fill(dict.fromkeys(weight, MANY + 1), priority=priority)

    given_out = Counter(lane.pop().place.workspace for _ in range(pops))

    for one, other in combinations(weight, 2):
        ahead = abs(given_out[one] / weight[one] - given_out[other] / weight[other])
        assert ahead <= 1 / weight[one] + 1 / weight[other]


@given(
    pending=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    pops=st.integers(0, 100),
    was_here=st.booleans(),
    priority=priorities,
)
def test_a_newcomer_waits_for_one_key_of_each_other_at_most(pending, pops, was_here, priority):
    lane = Lane()
    lane.fill({f"team {number}": keys for number, keys in enumerate(pending)}, priority=priority)
    if was_here:
        lane.fill({"small": 1}, priority=priority)
    for _ in range(min(pops, sum(pending) - 1)):
        lane.pop()
    newest = lane.put("small", priority=priority)

    before = lane.until(newest)
    assert max([keys for workspace, keys in before.items() if workspace != "small"], default=0) <= 1 + was_here


@given(pops=st.integers(0, MANY), turns=st.integers(1, MANY - 1), is_trickle=st.booleans(), priority=priorities)
def test_who_comes_late_or_one_key_at_a_time_gets_no_more_than_its_share_from_then_on(
    pops, turns, is_trickle, priority
):
    lane = Lane()
    lane.fill({"big": 3 * MANY}, priority=priority)
    for _ in range(pops):
        lane.pop()
    lane.fill({"small": 1 if is_trickle else MANY}, priority=priority)

    given_out: Counter[str] = Counter()
    for _ in range(turns):
        workspace = lane.pop().place.workspace
        given_out[workspace] += 1
        if is_trickle and workspace == "small":
            lane.put("small", priority=priority)
    assert abs(given_out["small"] - given_out["big"]) <= 2


@given(
    teams=st.integers(1, 5),
    older=st.integers(0, 10),
    priority=st.sampled_from([one for one in Priority if one is not Priority.CHANGE]),
)
def test_what_has_waited_for_too_long_gets_out_of_an_endless_flood_of_changes(teams, older, priority):
    lane, now = Lane(), 0.0
    lane.fill({"team 0": older}, priority=priority)
    patient = lane.put("team 0", priority=priority)
    lane.fill({f"team {number}": 3 for number in range(teams)})

    while (wish := lane.pop(now)).owner != patient:
        assert now <= PATIENCE + 2 * teams * (older + 2)
        lane.put(wish.place.workspace, now=now)
        now += 1.0


@given(older=st.integers(1, 40), pops=st.integers(0, 30), changes=st.integers(1, 5))
def test_a_change_waits_for_one_aged_key_of_its_own_workspace_at_most(older, pops, changes):
    lane, late = Lane(), PATIENCE + 1
    lane.fill({"team": older}, priority=Priority.RESYNC)
    for _ in range(min(pops, older)):
        lane.pop(late)
    changed = [lane.put("team", now=late) for _ in range(changes)]

    for one in changed:
        assert lane.until(one, late)["team"] <= 1


@given(st.lists(st.tuples(st.integers(0, 9), priorities, st.integers(0, 3), st.integers(0, 40)), max_size=300))
@settings(max_examples=50)
def test_each_key_comes_out_once_with_the_wish_that_was_put_last(wishes):
    order = FairOrder(weights={}, patience_seconds=PATIENCE)
    last: dict[Owner, Wish] = {}
    for number, (key, priority, workspace, due) in enumerate(wishes):
        owner, place = Owner("deployment", str(key)), Place("", str(workspace))
        last[owner] = Wish(due=due, number=number, owner=owner, priority=priority, place=place)
        order.put(last[owner], now=20)
    dropped = Owner("deployment", "0")
    order.drop(dropped)
    last.pop(dropped, None)

    due = [wish for wish in last.values() if wish.due <= 20]
    later = sorted(wish.due for wish in last.values() if wish.due > 20)
    assert order.due_count(20) == len(due)
    assert order.oldest_at(20) == min((wish.due for wish in due), default=None)
    assert order.next_at() == min(later, default=None)
    popped = [order.pop(20) for _ in due]
    assert order.pop(20) is None
    popped += [order.pop(40) for _ in later]
    assert order.pop(40) is None
    assert {wish.owner: wish for wish in popped} == last
    assert len(popped) == len(last)
