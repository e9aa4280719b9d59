"""Every switch of executors in a life: it ends well in the order that tasks need, and disorder would be seen."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from drivers.base import Refused
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import POLITE
from model.plan import Change, Delete
from reconciler import plan, prune

from .catalogs import EXECUTORS
from .life import Plan, Report, live
from .user import Step
from .weather import Forecast

_TIMES = replace(POLITE, starting=(3.0, 5.0), draining=(20.0, 30.0), lingering=(20.0, 30.0))
_CALM = Forecast(storms=(), faults=(_TIMES,), daemons=1, healed_at=600.0)
_PAIRS = tuple(permutations(EXECUTORS, 2))


def switched(pair: tuple[str, str], **faults: float) -> Report:
    """A deployment is made to have one executor, and then another."""
    steps = [Step(at=0.0, deployment=0, verb="create", number=0.0)]
    for at, executor in zip((60.0, 240.0), pair, strict=True):
        number = (EXECUTORS.index(executor) + 0.5) / len(EXECUTORS)
        steps.append(Step(at=at, deployment=0, verb="executor", number=number))
    weather = replace(_CALM, faults=(replace(_TIMES, **faults),))
    return live(Plan(seed=1, clusters=("c1",), steps=tuple(steps), weather=weather))


@pytest.mark.parametrize("pair", _PAIRS, ids=" to ".join)
def test_a_switch_goes_well(pair):
    report = switched(pair)

    assert report.violations == []
    assert report.counts["parts of executors gone"] >= (0 if pair[0] == "LocalExecutor" else 2)


@pytest.mark.parametrize("pair", _PAIRS, ids=" to ".join)
def test_a_switch_whose_writes_often_fail_goes_well(pair):
    assert switched(pair, unavailable_before=0.3, refusals=0.3).violations == []


@pytest.mark.parametrize("pair", [one for one in _PAIRS if one[0] == "CeleryExecutor"], ids=" to ".join)
def test_a_broker_that_goes_while_workers_drain_is_seen(pair, monkeypatch):
    monkeypatch.setattr(prune, "_dependants", lambda row, here: ())

    assert "SWITCH" in {one.invariant for one in switched(pair).violations}


@pytest.fixture
def _refused_scheduler(monkeypatch):
    """For a while after the switch, whatever is asked of the scheduler is refused."""
    apply = SimulationDriver.apply

    async def refusing(driver, owner, action):
        if 240.0 < driver._world.clock() < 400.0 and action.unit == "scheduler" and isinstance(action, Change):
            raise Refused("422: not now")
        return await apply(driver, owner, action)

    monkeypatch.setattr(SimulationDriver, "apply", refusing)


_LEAVING = [one for one in _PAIRS if one[0] != "LocalExecutor"]


@pytest.mark.usefixtures("_refused_scheduler")
@pytest.mark.parametrize("pair", _LEAVING, ids=" to ".join)
def test_a_scheduler_that_cannot_be_changed_keeps_what_it_works_with(pair):
    assert switched(pair).violations == []


@pytest.mark.parametrize("pair", _LEAVING, ids=" to ".join)
def test_parts_that_go_before_the_scheduler_has_changed_are_seen(pair, monkeypatch):
    admitted = plan.admitted

    def deletes_first(verdicts, circumstances):
        todo = admitted(verdicts, circumstances)
        return replace(todo, now=tuple(sorted(todo.now, key=lambda one: not isinstance(one, Delete))))

    monkeypatch.setattr(prune, "_dependants", lambda row, here: ())
    monkeypatch.setattr(plan, "admitted", deletes_first)

    assert "SWITCH" in {one.invariant for one in switched(pair).violations}
