"""Health and ports: what a process answers, who stands on its port, and one that hangs."""

import asyncio
import os
import signal
import socket
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Conflict
from drivers.local.probes import Answer, Target, at_pointer, judge
from drivers.local.supervise import look
from model.objects import Health
from tests.drivers.local.world import QUICK, SERVER, World, free_port, make_driver, probe, process, until

GOOD = '{"status": "good"}'


def server(world: World, **more):
    """An api-server that answers what the file `answer` in the home holds."""
    port = world.ports.setdefault(("api-server", "http"), free_port())
    more.setdefault("probe", probe(status="good"))
    return process("api-server", SERVER, str(port), str(world.home), ports={"http": 8080}, **more)


async def test_a_probed_process_is_healthy_when_it_answers_as_expected(world: World):
    answer = world.home / "answer"
    answer.write_text('{"status": "bad"}')
    ref = await world.put(server(world))

    bad = await world.until_seen(ref, lambda seen: "says" in seen.detail)
    answer.write_text(GOOD)
    await world.healthy(ref)

    assert bad.health is Health.PROGRESSING
    assert bad.detail == "says /status is bad, not good"


async def test_health_is_unknown_after_reopening_until_the_first_answer(world: World):
    (world.home / "answer").write_text(GOOD)
    ref = await world.put(server(world))
    await world.healthy(ref)

    await world.driver.close()
    world.driver = make_driver(world.home, world.locks)
    before = await world.see(ref)
    await world.driver.open()
    began = time.monotonic()
    await world.healthy(ref)

    assert before.health is Health.UNKNOWN
    assert time.monotonic() - began < 1.0


async def test_a_killed_process_is_not_called_healthy_by_its_old_answers(world: World):
    (world.home / "answer").write_text(GOOD)
    ref = await world.put(server(world))
    await world.healthy(ref)

    (world.home / "answer").unlink()
    os.kill(world.state("api-server").child_pid, signal.SIGKILL)
    await until(lambda: world.state("api-server").restarts == 1)
    await world.until_seen(ref, lambda seen: seen.health is Health.PROGRESSING)
    (world.home / "answer").write_text(GOOD)

    await world.healthy(ref)


async def test_a_process_that_hangs_is_drift_and_an_update_restarts_it(world: World):
    world.pace = replace(QUICK, hang_seconds=1.0)
    await world.reopen()
    (world.home / "answer").write_text(GOOD)
    ref = await world.put(server(world))
    await world.healthy(ref)
    before = world.state("api-server")

    os.kill(before.child_pid, signal.SIGSTOP)
    seen = await world.until_seen(ref, lambda seen: bool(seen.drift), seconds=20.0)
    await world.update(server(world))
    await world.healthy(ref)

    assert "does not answer" in seen.drift[0].what
    assert world.state("api-server").child_pid != before.child_pid


async def test_one_that_reports_through_another_is_unknown_while_that_one_is_silent(world: World):
    (world.home / "answer").write_text(GOOD)
    world.ports["api-server", "http"] = free_port()
    ref = await world.put(process("triggerer", probe=probe(status="good")))

    silent = await world.until_seen(ref, lambda seen: "does not answer" in seen.detail)
    await world.put(server(world))

    assert silent.health is Health.UNKNOWN
    assert not silent.drift
    await world.healthy(ref)


async def test_a_port_held_by_another_program_names_its_holder(world: World):
    unit = server(world)
    port = world.ports["api-server", "http"]
    script = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); "
    script += "print('up', flush=True); time.sleep(60)"
    stranger = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(port), "--password=hunter2", stdout=asyncio.subprocess.PIPE
    )
    await stranger.stdout.readline()
    ref = world.object(unit).ref

    observed = await world.observe(ref)
    with pytest.raises(Conflict, match=f"port {port} is held by process {stranger.pid}"):
        await world.put(unit)
    after = await world.observe(ref)
    stranger.kill()
    await stranger.communicate()

    assert f"port {port} is held by process {stranger.pid} (python" in observed.foreign[ref]
    assert "hunter2" not in observed.foreign[ref]
    assert ref not in after.seen
    (world.home / "answer").write_text(GOOD)
    await world.put(unit)
    await world.healthy(ref)


async def test_a_port_taken_while_ours_was_down_is_foreign_though_ours_is_kept(world: World):
    (world.home / "answer").write_text(GOOD)
    ref = await world.put(server(world))
    await world.healthy(ref)
    port = world.ports["api-server", "http"]

    await world.stop(ref)
    await world.until_seen(ref, lambda seen: seen.running == 0)
    await until(lambda: not _listens(port))
    with socket.create_server(("127.0.0.1", port)):
        stopped = await world.observe(ref)
        with pytest.raises(Conflict, match="is held by"):
            await world.update(server(world))

    assert stopped.foreign == {}
    await world.update(server(world))
    await world.healthy(ref)


async def test_our_own_listener_is_not_foreign(world: World):
    (world.home / "answer").write_text('{"status": "bad"}')
    ref = await world.put(server(world))
    await world.until_seen(ref, lambda seen: "says" in seen.detail)

    assert (await world.observe(ref)).foreign == {}


async def test_one_look_takes_a_few_milliseconds(world: World):
    (world.home / "answer").write_text(GOOD)
    units = [server(world), *(process(name) for name in ("scheduler", "dag-processor", "triggerer"))]
    ref = await world.put(*units)
    await world.healthy(ref)

    took = []
    for _ in range(20):
        began = time.perf_counter()
        await world.observe(ref)
        took.append(time.perf_counter() - began)

    assert min(took) < 0.02  # a generous border: the benchmark has the number
    assert look(world.run("api-server")).is_supervised


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


OWN = Target(url="", is_own=True, expect=(), starts=(1.0,))
OTHER = Target(url="", is_own=False, expect=(), starts=(1.0,))


@given(st.integers(min_value=1, max_value=10))
def test_one_that_was_healthy_is_given_two_failures(failures: int):
    answer = Answer(verdict="healthy", was_healthy=True)

    for now in range(failures):
        answer = judge(answer, OWN, "does not answer", answered=False, now=float(now))

    assert (answer.verdict == "unhealthy") == (failures >= 3)
    assert answer.failing_since == 0.0


def test_silence_of_another_process_is_no_failure_of_this_one():
    answer = judge(Answer(), OTHER, "does not answer", answered=False, now=5.0)

    assert answer.verdict == "unseen"
    assert answer.failing_since is None


@given(st.integers(min_value=1, max_value=10))
def test_silence_of_another_process_is_overheard_twice_for_one_that_was_healthy(failures: int):
    answer = Answer(verdict="healthy", was_healthy=True)

    for now in range(failures):
        answer = judge(answer, OTHER, "does not answer", answered=False, now=float(now))

    assert (answer.verdict == "unseen") == (failures >= 3)
    assert answer.failing_since is None


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("/a/b", "x"), ("/list/1", "2"), ("/a", None), ("/none", None), ("/a~1b", "slash"), ("/flag", "true")],
)
def test_json_pointers_find_scalars(pointer: str, found: str | None):
    document = {"a": {"b": "x"}, "list": [1, 2], "a/b": "slash", "flag": True}

    assert at_pointer(document, pointer) == found
