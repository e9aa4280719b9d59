"""The fleet gate: canaries first, a few at once, and a stop at the first that does not come back."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model.names import Owner
from reconciler.gate import TURN, FleetGate, GateLimits

FLEET = [Owner("deployment", str(number)) for number in range(20)]
LIMITS = GateLimits(canaries=2, at_once=5, patience_seconds=1800.0, wave_seconds=3600.0, warmup_seconds=120.0)
WARM = 1000.0


def gate() -> FleetGate:
    return FleetGate(LIMITS, began_at=0.0)


def let_through(one: FleetGate, now: float, owners: list[Owner] = FLEET) -> list[Owner]:
    """Who gets in when all of them ask."""
    entered = []
    for owner in owners:
        if not one.why_not(owner, now):
            one.entered(owner, now)
            entered.append(owner)
    return entered


def test_canaries_go_one_after_the_other_and_then_some_at_once():
    one, waiting, waves = gate(), FLEET, []
    for _ in range(4):
        wave = let_through(one, WARM, waiting)
        for owner in wave:
            one.settled(owner, WARM)
        waiting = waiting[len(wave) :]
        waves.append(len(wave))

    assert waves == [1, 1, 5, 5]


def test_who_was_let_through_goes_on_and_who_was_not_waits_for_its_turn():
    one = gate()
    one.entered(FLEET[0], WARM)

    assert one.why_not(FLEET[0], WARM + 1) == ""
    assert one.why_not(FLEET[1], WARM + 1) == TURN


def test_those_that_wait_are_told_when_it_is_their_turn_in_the_order_of_coming_and_once():
    one = gate()
    one.entered(FLEET[0], WARM)
    for owner in FLEET[1:4]:
        one.waits(owner)
    assert one.turns(WARM + 1) == ()

    one.settled(FLEET[0], WARM + 2)
    assert one.turns(WARM + 2) == (FLEET[1],)
    one.entered(FLEET[1], WARM + 3)
    one.settled(FLEET[1], WARM + 4)
    assert one.turns(WARM + 4) == (FLEET[2], FLEET[3])
    assert one.turns(WARM + 4) == ()


def test_nobody_is_told_before_it_is_warm_or_after_the_rollout_stopped():
    one = gate()
    one.waits(FLEET[1])
    assert one.turns(1.0) == ()

    one.entered(FLEET[0], WARM)
    assert one.turns(WARM + LIMITS.patience_seconds + 1) == ()


def test_who_was_let_through_or_is_gone_waits_no_longer():
    one = gate()
    one.waits(FLEET[0])
    one.waits(FLEET[1])
    one.entered(FLEET[0], WARM)
    one.settled(FLEET[1], WARM)
    one.settled(FLEET[0], WARM)

    assert one.turns(WARM) == ()


def test_nobody_is_let_through_before_it_is_warm():
    one = gate()

    assert one.why_not(FLEET[0], LIMITS.warmup_seconds - 0.1) == TURN
    assert one.why_not(FLEET[0], LIMITS.warmup_seconds) == ""


def test_nobody_is_let_through_before_it_leads():
    assert FleetGate(LIMITS, began_at=float("inf")).why_not(FLEET[0], 1e12) == TURN


def test_one_that_does_not_come_back_stops_the_rollout_and_is_named():
    one = gate()
    one.entered(FLEET[3], WARM)
    late = WARM + LIMITS.patience_seconds + 1

    assert one.why_not(FLEET[4], late - 1) == TURN
    assert "deployment/3 was changed and is not Ready again" in one.why_not(FLEET[4], late)
    assert "approve('<workspace>/<deployment>', 'rollout')" in one.why_not(FLEET[4], late)


def test_a_stopped_rollout_goes_on_when_the_late_one_comes_back():
    one = gate()
    one.entered(FLEET[3], WARM)
    late = WARM + LIMITS.patience_seconds + 1
    one.settled(FLEET[3], late)

    assert one.why_not(FLEET[4], late) == ""


def test_the_late_one_itself_may_always_be_mended():
    one = gate()
    one.entered(FLEET[3], WARM)

    assert one.why_not(FLEET[3], WARM + 10 * LIMITS.patience_seconds) == ""


def test_what_another_daemon_let_through_counts_from_when_it_did():
    one = gate()
    one.adopt(FLEET[3], WARM - LIMITS.patience_seconds - 1)

    assert "deployment/3" in one.why_not(FLEET[4], WARM)


def test_adoption_does_not_renew_the_patience_with_one_that_is_known():
    one = gate()
    one.entered(FLEET[3], WARM)
    one.adopt(FLEET[3], WARM + 1700.0)

    assert "deployment/3" in one.why_not(FLEET[4], WARM + LIMITS.patience_seconds + 1)


def test_a_second_change_of_one_that_rolls_does_not_renew_the_patience_with_it():
    one = gate()
    one.entered(FLEET[3], WARM)
    one.entered(FLEET[3], WARM + 1700.0)

    assert "deployment/3" in one.why_not(FLEET[4], WARM + LIMITS.patience_seconds + 1)


def test_an_owner_that_settles_without_having_been_let_through_counts_for_nothing():
    one = gate()
    for owner in FLEET[:10]:
        one.settled(owner, WARM)

    assert len(let_through(one, WARM)) == 1


def test_the_next_rollout_has_canaries_again():
    one = gate()
    for owner in FLEET[:4]:
        one.entered(owner, WARM)
        one.settled(owner, WARM)

    assert len(let_through(one, WARM + LIMITS.wave_seconds + 1)) == 1


class Rollouts(RuleBasedStateMachine):
    """Anybody asks, enters when let through, settles or hangs, and daemons change, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.gate = 0.0, gate()
        self.rolling: dict[Owner, float] = {}
        self.began_at = 0.0

    @rule(seconds=st.floats(1.0, 2500.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(owner=st.sampled_from(FLEET))
    def somebody_asks(self, owner: Owner) -> None:
        is_late = any(self.now - since > LIMITS.patience_seconds for since in self.rolling.values())
        why_not = self.gate.why_not(owner, self.now)
        if why_not:
            assert owner not in self.rolling
            return
        if owner not in self.rolling:
            assert not is_late
            assert self.now - self.began_at >= LIMITS.warmup_seconds
            assert len(self.rolling) < LIMITS.at_once
        self.gate.entered(owner, self.now)
        self.rolling.setdefault(owner, self.now)

    @precondition(lambda self: self.rolling)
    @rule(data=st.data())
    def somebody_is_ready_again(self, data) -> None:
        owner = data.draw(st.sampled_from(sorted(self.rolling)))
        self.gate.settled(owner, self.now)
        del self.rolling[owner]

    @rule()
    def another_daemon_leads(self) -> None:
        """It looks at every deployment before it is warm, and their status tells since when they roll."""
        self.gate, self.began_at = FleetGate(LIMITS, began_at=self.now), self.now
        for owner, since in self.rolling.items():
            self.gate.adopt(owner, since)

    @invariant()
    def no_more_than_a_few_are_in_flight(self) -> None:
        assert len(self.rolling) <= LIMITS.at_once


Rollouts.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestRollouts = Rollouts.TestCase
