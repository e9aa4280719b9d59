"""A crowd in one cluster: a change is seen before the repairs of everybody, and a queue in disorder is noticed."""

from __future__ import annotations

from dataclasses import replace

from drivers.simulation.faults import POLITE
from reconciler.queue import Priority, WorkQueue

from .life import Life, Plan
from .user import Step
from .weather import Forecast

_CROWD = 36
_CREATED = tuple(Step(at=0.0, deployment=one, verb="create", number=0.0) for one in range(_CROWD))
_ASKED = tuple(Step(at=302.0 + one, deployment=_CROWD - 1 - one, verb="restart", number=0.5) for one in range(6))
_PLAN = Plan(
    seed=3,
    clusters=("c1",),
    steps=(*_CREATED, *_ASKED),
    weather=Forecast(storms=(), faults=(replace(POLITE, latency=(0.2, 0.3)),), daemons=1, healed_at=330.0),
)
_BOUND_SECONDS = 6.0
"""Three workers, each of whom may be in the middle of a pass of one look and one write."""


def lived() -> Life:
    """At 300 s something of everybody's is broken, and then some ask for something while repairs are under way."""
    life = Life(_PLAN)
    life.attention.bound_seconds = _BOUND_SECONDS

    def vandalize() -> None:
        for thing in life.worlds["c1"].things():
            if thing.ref.name.endswith((".scheduler", ".triggerer", ".api-server")):
                life.vandals["c1"].edit(thing.ref)

    life.loop.call_at(300.0, vandalize)
    life.run()
    life.loop.close()
    return life


def test_what_people_ask_for_is_seen_soon_while_everybody_is_repaired():
    life = lived()

    assert life.checkers.violations == []
    assert life.checkers.counts["writes"] > _CROWD * 3


def test_a_queue_in_which_changes_go_last_is_seen(monkeypatch):
    add = WorkQueue.add

    def last(self, key, priority, *args, **options):
        return add(self, key, Priority.RESYNC if priority is Priority.CHANGE else priority, *args, **options)

    monkeypatch.setattr(WorkQueue, "add", last)

    assert "L6" in {one.invariant for one in lived().checkers.violations}


def test_changes_that_are_not_signalled_are_seen(monkeypatch):
    """Without the signal there is the sweep, which is slower than the bound."""
    monkeypatch.setattr("tests.simulation.store.Store.notify", lambda store: None)

    assert "L6" in {one.invariant for one in lived().checkers.violations}


def test_drift_that_is_not_heard_of_is_seen(monkeypatch):
    monkeypatch.setattr("drivers.simulation.hints.Hints.tell", lambda *_: None)

    assert "L2" in {one.invariant for one in lived().checkers.violations}
