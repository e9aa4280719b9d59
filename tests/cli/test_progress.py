"""The progress that `up` shows, and when it gives up."""

import io

import pytest
from rich.console import Console

from cli.converging import STUCK_SECONDS, Stuckness, caught_up, is_ready, ready
from cli.errors import Failed, Refused, TimedOut
from cli.names import DeploymentName
from cli.progress import Screen, UnitTimes
from cli.stopwatch import Stopwatch
from cli.waiting import until
from tests.cli.conftest import answer

NAME = DeploymentName("demo", "hello")


def unit(name, state, detail=""):
    return {"unit": name, "component": name, "state": state, "detail": detail}


@pytest.fixture
def screen():
    """A plain screen whose clock stands at the number of seconds in `.at`."""

    class Clock:
        at = 0.0

    made = Screen(Console(file=io.StringIO(), width=200), clock=lambda: Clock.at)
    made.at = lambda seconds: setattr(Clock, "at", seconds)
    made.text = made.out.file.getvalue
    return made


def test_without_a_terminal_each_change_is_one_line(screen):
    screen.units([unit("scheduler", "waiting"), unit("migrate", "progressing")])
    screen.at(3.5)
    screen.units([unit("scheduler", "waiting"), unit("migrate", "done")])

    lines = [" ".join(line.split()) for line in screen.text().splitlines()]
    assert lines == ["0.0 s scheduler waiting", "0.0 s migrate progressing", "3.5 s migrate done"]


def test_on_a_terminal_the_last_picture_stays():
    out = Console(file=io.StringIO(), force_terminal=True, width=120)
    screen = Screen(out)

    with screen.live():
        screen.units([unit("scheduler", "ready", "answers")])

    assert "scheduler" in out.file.getvalue().rpartition("UNIT")[2]


def test_a_units_time_runs_from_the_start_of_its_work_to_its_end():
    times = UnitTimes()
    times.feed([unit("scheduler", "waiting")], 1.0)
    assert times.units["scheduler"].elapsed(2.0) is None

    times.feed([unit("scheduler", "progressing")], 3.0)
    assert times.units["scheduler"].elapsed(5.0) == 2.0

    times.feed([unit("scheduler", "ready")], 7.0)
    assert times.units["scheduler"].elapsed(100.0) == 4.0


def test_a_unit_is_stuck_only_when_it_stays_so():
    stuckness = Stuckness({})

    assert stuckness.feed([unit("migrate", "failed")], 0.0) is None
    assert stuckness.feed([unit("migrate", "progressing")], 30.0) is None
    assert stuckness.feed([unit("migrate", "failed")], STUCK_SECONDS + 1) is None
    assert stuckness.feed([unit("migrate", "failed")], 2 * STUCK_SECONDS + 1) == "migrate"


def test_ready_about_an_old_generation_is_not_ready():
    conditions = [{"type": "Ready", "status": "True"}]

    assert is_ready({"generation": 2, "observed_generation": 2, "conditions": conditions})
    assert not is_ready({"generation": 3, "observed_generation": 2, "conditions": conditions})


async def test_it_waits_through_a_daemon_that_crashes_and_ends_when_ready(client, screen):
    statuses = [
        answer(503, {"title": "starting"}),
        answer(200, {"generation": 1, "observed_generation": 1, "units": [unit("scheduler", "ready")]}),
        answer(
            200, {"generation": 1, "observed_generation": 1, "conditions": [{"type": "Ready", "status": "True"}]}
        ),
    ]

    async def handler(_):
        return statuses.pop(0)

    found = await ready(await client(handler), NAME, screen, timeout_seconds=10, alive=lambda: None)

    assert is_ready(found)
    assert "scheduler" in screen.text()


async def test_a_timeout_names_the_unit_and_shows_the_end_of_its_log(client, screen):
    async def handler(request):
        if request.path.endswith("/logs"):
            return answer(200, LOGS)
        return answer(200, {"units": [unit("database", "ready"), unit("migrate", "progressing", "runs")]})

    with pytest.raises(TimedOut) as caught:
        await ready(await client(handler), NAME, screen, timeout_seconds=0.1, alive=lambda: None)

    assert caught.value.where == "migrate is progressing: runs"
    assert caught.value.lines == ("one", "two")
    assert "armillary why demo/hello" in caught.value.todo


LOGS = {"lines": ["one", "two"]}


async def test_a_stuck_unit_fails_before_the_timeout(client, screen):
    async def handler(request):
        if request.path.endswith("/logs"):
            return answer(404, {"title": "Not found"})
        screen.at(screen.seconds + STUCK_SECONDS)
        return answer(200, {"units": [unit("environment", "failed", "no network")]})

    with pytest.raises(Failed) as caught:
        await ready(await client(handler), NAME, screen, timeout_seconds=60, alive=lambda: None)

    assert "no network" in caught.value.where


async def test_the_status_of_an_earlier_daemon_is_not_believed(client):
    plans = [answer(503, {}), answer(200, {"now": [{"action": "Create"}]}), answer(200, {"now": []})]

    async def handler(_):
        return plans.pop(0)

    await caught_up(await client(handler), NAME)

    assert plans == []


async def test_a_daemon_that_was_stopped_ends_the_wait(client, screen):
    async def handler(_):
        return answer(200, {})

    def alive():
        raise Refused("The daemon was stopped.")

    with pytest.raises(Refused):
        await ready(await client(handler), NAME, screen, timeout_seconds=60, alive=alive)


async def test_waiting_says_what_was_waited_for():
    async def never():
        return None

    with pytest.raises(TimedOut, match=r"Waited 0\.05 s for the moon"):
        await until("the moon", never, timeout_seconds=0.05, every_seconds=0.01)


def test_the_summary_tells_each_stage_and_the_whole():
    stopwatch = Stopwatch()
    with stopwatch.stage("one"):
        pass
    with pytest.raises(ValueError, match="x"), stopwatch.stage("two"):
        raise ValueError("x")

    assert stopwatch.summary() == "one 0.0 s, two 0.0 s; 0.0 s in all"
