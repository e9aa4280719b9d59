"""Releases and defaults in lives without other faults: what the gate lets through, and that breaks are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.simulation.faults import POLITE
from reconciler.gate import FleetGate
from reconciler.ledger import Ledger

from .life import Plan, Report, live
from .user import OPERATORS, Step
from .weather import Forecast, Storm

_FLEET = 6
_CREATED = tuple(Step(at=float(one), deployment=one, verb="create", number=0.0) for one in range(_FLEET))
_CALM = Forecast(storms=(), faults=(replace(POLITE, starting=(3.0, 5.0)),), daemons=1, healed_at=900.0)
_UPGRADED = Step(at=200.0, deployment=OPERATORS, verb="release", number=0.99)
_BROKEN = replace(_UPGRADED, verb="broken release")


def lived(*steps: Step, storms: tuple[Storm, ...] = ()) -> Report:
    weather = replace(_CALM, storms=storms)
    return live(Plan(seed=1, clusters=("c1",), steps=tuple(sorted((*_CREATED, *steps))), weather=weather))


@pytest.mark.parametrize("verb", ["release", "defaults"])
def test_what_reaches_the_whole_fleet_reaches_all_of_it_and_the_gate_lets_it(verb):
    report = lived(replace(_UPGRADED, verb=verb))

    assert report.violations == []
    assert report.counts["unasked changes"] == _FLEET


def test_a_release_that_never_becomes_healthy_reaches_one_deployment_and_is_taken_back():
    report = lived(_BROKEN)

    assert report.violations == []
    assert report.counts["unasked changes"] == 1


def test_a_daemon_that_is_killed_of_its_last_write_of_a_broken_release_lets_the_next_one_know():
    died = Storm(at=210.0, kind="kill after a write", seconds=5.0, number=0.27)
    report = lived(_BROKEN, storms=(died,))

    assert report.violations == []
    assert report.counts["unasked changes"] == 1


def test_a_gate_that_lets_everybody_through_is_seen(monkeypatch):
    monkeypatch.setattr(FleetGate, "why_not", lambda self, owner, now: "")

    assert "GATE" in {one.invariant for one in lived(_UPGRADED).violations}


def test_a_gate_that_forgets_whom_the_last_daemon_let_through_is_seen(monkeypatch):
    monkeypatch.setattr(FleetGate, "adopt", lambda self, owner, since: None)
    died = Storm(at=210.0, kind="kill after a write", seconds=5.0, number=0.27)

    assert "GATE" in {one.invariant for one in lived(_BROKEN, storms=(died,)).violations}


def test_a_gate_that_takes_every_end_of_a_pass_for_the_end_of_a_change_is_seen(monkeypatch):
    settle = Ledger.concluded

    def concluded(ledger, before, conclusion, now):
        settle(ledger, before, conclusion, now)
        ledger.gate("c1").settled(before.owner, now)

    monkeypatch.setattr(Ledger, "concluded", concluded)

    assert "GATE" in {one.invariant for one in lived(_BROKEN).violations}
