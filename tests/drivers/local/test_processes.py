"""Processes: kept, adopted, scaled, stopped and removed, with everything they started."""

import os
import signal

import pytest

from drivers.base import Conflict, Refused
from drivers.local import supervise
from model.names import Ref
from model.objects import Health
from model.units import StopBy
from tests.drivers.local.world import OWNER, RELEASE, World, alive, marked, process, until

STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
STUBBORN += "while True: time.sleep(60)"
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""


async def test_a_started_process_becomes_healthy_and_runs_from_its_runtime(world: World):
    ref = await world.put(process(script="import os, sys, time; print(os.environ['PATH']); time.sleep(60)"))

    seen = await world.healthy(ref)

    assert seen.running == 1
    assert (
        seen.digest
        == world.object(process(script="import os, sys, time; print(os.environ['PATH']); time.sleep(60)")).digest
    )


async def test_a_killed_child_comes_back_and_no_other_process_is_touched(world: World):
    await world.put(process("scheduler"), process("triggerer"))
    ref = Ref("Process", f"{RELEASE}.scheduler")
    await world.healthy(ref)
    before, other = world.state("scheduler"), world.state("triggerer")

    os.kill(before.child_pid, signal.SIGKILL)
    await until(lambda: world.state("scheduler").restarts == 1 and world.state("scheduler").child_pid)

    await world.healthy(ref)
    after = world.state("scheduler")
    assert after.child_pid != before.child_pid
    assert after.shim_pid == before.shim_pid
    assert after.last_exit.signal == "SIGKILL"
    assert world.state("triggerer").child_pid == other.child_pid


async def test_a_process_that_keeps_failing_is_started_less_and_less_often_and_says_why(world: World):
    ref = await world.put(process(script="print('no such table'); raise SystemExit(3)"))

    seen = await world.until_seen(ref, lambda seen: "restarts: 2" in seen.detail)

    assert seen.health is Health.UNHEALTHY
    assert "exited with code 3" in seen.detail
    assert "no such table" in seen.detail
    assert not seen.drift


async def test_a_killed_shim_takes_its_child_along_and_is_repaired(world: World):
    ref = await world.put(process())
    await world.healthy(ref)
    before = world.state()

    os.kill(before.shim_pid, signal.SIGKILL)
    what = await world.drifted(ref)
    await until(lambda: before.child_pid not in alive())
    await world.update(process())

    assert "shim was killed" in what
    await world.healthy(ref)
    assert world.state().shim_pid != before.shim_pid


async def test_a_child_that_outlives_its_shim_is_seen_as_unsupervised_and_replaced(world: World):
    ref = await world.put(process(script=STUBBORN, stop=StopBy(grace_seconds=0.3)))
    await until(lambda: "deaf" in world.log())
    before = world.state()

    os.kill(before.shim_pid, signal.SIGKILL)
    await until(lambda: world.state().condition == "unsupervised")
    what = await world.drifted(ref)
    running = (await world.see(ref)).running
    await world.update(process(script=STUBBORN, stop=StopBy(grace_seconds=0.3)))
    await world.healthy(ref)

    assert "unsupervised" in what
    assert running == 1
    assert before.child_pid not in alive()


async def test_another_daemon_adopts_what_runs_and_writes_nothing(world: World):
    ref = await world.put(process(replicas=2))
    await world.healthy(ref)
    before = [world.state(replica=number) for number in (0, 1)]
    files = _stamps(world)

    await world.reopen()
    seen = await world.healthy(ref)

    assert seen.running == 2
    assert [world.state(replica=number) for number in (0, 1)] == before
    assert _stamps(world) == files


async def test_applying_twice_starts_once(world: World):
    ref = await world.put(process())
    await world.healthy(ref)
    before, files = world.state(), _stamps(world)

    await world.update(process())
    await world.put(process())

    assert world.state() == before
    assert _stamps(world) == files


async def test_sigterm_ignored_ends_in_sigkill_after_the_grace(world: World):
    ref = await world.put(process(script=STUBBORN, stop=StopBy(grace_seconds=0.5)))
    await until(lambda: "deaf" in world.log())

    await world.stop(ref)
    draining = await world.see(ref)
    stopped = await world.until_seen(ref, lambda seen: seen.running == 0)

    assert draining.running == 1
    assert stopped.health is Health.STOPPED
    assert world.state().last_exit.signal == "SIGKILL"
    assert world.state().last_exit.duration_seconds >= 0.5


async def test_stop_keeps_the_digest_and_an_update_runs_it_again(world: World):
    ref = await world.put(process())
    before = await world.healthy(ref)

    await world.stop(ref)
    stopped = await world.until_seen(ref, lambda seen: seen.running == 0)
    await world.reopen()
    still = await world.see(ref)
    await world.update(process())
    after = await world.healthy(ref)

    assert (stopped.health, stopped.digest, stopped.uid) == (Health.STOPPED, before.digest, before.uid)
    assert "should run" in stopped.drift[0].what
    assert still == stopped
    assert after.digest == before.digest


async def test_grandchildren_in_other_groups_and_sessions_die_with_their_process(world: World):
    ref = await world.put(process(script=PARENT))
    await until(lambda: "ready" in world.log())
    family = supervise.members(world.run())

    await world.stop(ref)
    await world.until_seen(ref, lambda seen: seen.running == 0)

    assert len(family) == 3
    assert not set(family) & alive()


async def test_grandchildren_die_before_a_killed_process_is_started_again(world: World):
    await world.put(process(script=PARENT))
    await until(lambda: "ready" in world.log())
    before, family = world.state(), supervise.members(world.run())

    os.kill(before.child_pid, signal.SIGKILL)
    await until(lambda: world.log().count("ready") == 2)

    assert not set(family) & alive()
    assert len(supervise.members(world.run())) == 3


async def test_leftovers_of_a_killed_shim_die_before_the_next_start(world: World):
    ref = await world.put(process(script=PARENT))
    await until(lambda: "ready" in world.log())
    family = supervise.members(world.run())

    os.kill(world.state().shim_pid, signal.SIGKILL)
    await world.drifted(ref)
    await world.update(process(script=PARENT))
    await until(lambda: world.log().count("ready") == 2)

    assert not set(family) & alive()


async def test_scaling_leaves_the_other_replicas_alone(world: World):
    ref = await world.put(process(replicas=1))
    await world.healthy(ref)
    first = world.state()

    await world.update(process(replicas=3))
    three = await world.until_seen(ref, lambda seen: seen.running == 3 and seen.health is Health.HEALTHY)
    await world.update(process(replicas=1))
    one = await world.until_seen(ref, lambda seen: seen.running == 1 and seen.health is Health.HEALTHY)

    assert three.digest != one.digest
    assert world.state() == first
    await until(lambda: not world.run(replica=2).exists() and not world.run(replica=1).exists())


async def test_no_replicas_is_stopped_and_no_drift(world: World):
    ref = await world.put(process(replicas=1))
    await world.healthy(ref)

    await world.update(process(replicas=0))
    seen = await world.until_seen(ref, lambda seen: seen.running == 0)

    assert seen.health is Health.STOPPED
    assert not seen.drift


async def test_a_changed_command_restarts_the_process_under_a_new_shim(world: World):
    ref = await world.put(process())
    await world.healthy(ref)
    before = world.state()

    await world.update(process(script="import time; print('new', flush=True); time.sleep(60)"))
    await world.healthy(ref)
    await until(lambda: "new" in world.log())

    assert world.state().child_pid != before.child_pid
    assert before.child_pid not in alive()


async def test_an_update_while_the_old_one_still_ends_runs_the_newest(world: World):
    ref = await world.put(process(script=STUBBORN, stop=StopBy(grace_seconds=1.0)))
    await until(lambda: "deaf" in world.log())

    await world.update(process(script="import time; print('second', flush=True); time.sleep(60)"))
    waiting = await world.see(ref)
    await world.update(process(script="import time; print('third', flush=True); time.sleep(60)"))
    await world.healthy(ref)
    await until(lambda: "third" in world.log())

    assert waiting.running == 1
    assert waiting.health is Health.PROGRESSING
    assert not waiting.drift
    assert "second" not in world.log()


async def test_a_stop_while_the_successor_waits_stops_both(world: World):
    ref = await world.put(process(script=STUBBORN, stop=StopBy(grace_seconds=1.0)))
    await until(lambda: "deaf" in world.log())

    await world.update(process())
    await world.stop(ref)
    seen = await world.until_seen(ref, lambda seen: seen.running == 0)

    assert seen.health is Health.STOPPED
    assert marked(world.home) == []


async def test_deleting_is_gradual_repeatable_and_leaves_nothing(world: World):
    ref = await world.put(process(script=STUBBORN, stop=StopBy(grace_seconds=0.5)))
    await until(lambda: "deaf" in world.log())

    first = await world.delete(ref)
    second = await world.delete(ref)
    draining = await world.see(ref)
    await world.until_seen(ref, lambda seen: seen.running == 0)
    last = await world.delete(ref)

    assert first == second == draining.uid
    assert draining.running == 1
    assert draining.digest is None
    assert last == ""
    assert ref not in (await world.observe(ref)).seen
    assert not world.run().exists()
    assert await world.delete(ref) == ""


async def test_a_deleted_process_that_is_wanted_again_runs_again(world: World):
    ref = await world.put(process())
    await world.healthy(ref)

    await world.delete(ref)
    await world.put(process())

    assert (await world.healthy(ref)).digest == world.object(process()).digest


async def test_an_object_made_in_another_ones_place_is_not_deleted(world: World):
    ref = await world.put(process())

    with pytest.raises(Conflict, match="not the object that was seen"):
        await world.delete(ref, uid="another")


async def test_a_removed_run_folder_ends_its_process_and_is_repaired(world: World):
    ref = await world.put(process())
    await world.healthy(ref)
    before = world.state()

    supervise.shutil.rmtree(world.run())
    what = await world.drifted(ref)
    await world.update(process())
    await world.healthy(ref)
    await until(lambda: before.child_pid not in alive())

    assert "run folder is gone" in what
    await world.healthy(ref)


async def test_an_edited_unit_is_drift_and_is_repaired(world: World):
    ref = await world.put(process())
    await world.healthy(ref)
    unit = world.run() / "unit.json"

    unit.write_text(unit.read_text().replace('"grace_seconds": 5.0', '"grace_seconds": 6.0'))
    what = await world.drifted(ref)
    await world.update(process())
    await world.healthy(ref)

    assert what == "run/scheduler-0/unit.json was edited"
    assert '"grace_seconds": 5.0' in unit.read_text()


async def test_an_empty_lock_file_means_nothing_runs(world: World):
    ref = await world.put(process())
    await world.healthy(ref)
    await world.stop(ref)
    await world.until_seen(ref, lambda seen: seen.running == 0)

    for name in ("lock", "shim.lock", "next.lock", "state.json"):
        (world.run() / name).write_text("")

    assert not world.state().is_alive
    await world.update(process())
    await world.healthy(ref)


async def test_the_environment_of_a_process_is_complete_and_nothing_else(world: World, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OF_THE_DAEMON", "1")
    script = "import os, json, time; print(json.dumps(sorted(os.environ)), flush=True); time.sleep(60)"

    await world.put(process(script=script, env={"MINE": ("x",)}))
    await until(lambda: "MINE" in world.log())

    assert "PATH" in world.log()
    assert "OF_THE_DAEMON" not in world.log()
    assert "PYTHONDONTWRITEBYTECODE" not in world.log()


async def test_several_replicas_with_a_port_of_their_own_are_refused(world: World):
    world.ports["api-server", "http"] = 20000

    with pytest.raises(Refused, match="set replicas to 1"):
        world.object(process("api-server", replicas=2, ports={"http": 8080}))


async def test_logs_are_found_by_unit_and_by_replica(world: World):
    await world.put(process(script="import time; print('hello', flush=True); time.sleep(60)", replicas=2))
    await until(lambda: "hello" in world.log(replica=1))

    paths = world.driver.log_paths(RELEASE)

    assert paths.keys() == {"scheduler", "scheduler-0", "scheduler-1"}
    assert paths["scheduler"].read_text() == "hello\n"
    assert paths["scheduler-1"] == world.run(replica=1) / "output.log"


async def test_owners_are_those_with_a_folder_of_this_installation(world: World):
    await world.put(process())
    other = world.home / "deployments" / "other"
    other.mkdir()
    (other / "owner.json").write_text('{"installation": "x", "owner": "deployment/9", "release": "other"}')

    assert await world.driver.owners() == {OWNER}


def _stamps(world: World) -> dict[str, int]:
    """When each file of the deployment was last written, what processes write themselves left out."""
    return {
        str(one): one.stat().st_mtime_ns
        for one in world.root.rglob("*")
        if one.is_file() and one.name != "output.log"
    }
