"""Tasks: run once, under their shim, and say how they ended without saying a secret."""

import os
import signal
from dataclasses import replace

from drivers.local import supervise
from model.names import text
from model.objects import Health
from tests.drivers.local.world import PASSWORD, SECRET, World, task, until

PATIENT = "import time; print('busy', flush=True); time.sleep(60)"


async def test_a_task_that_exits_with_0_is_done(world: World):
    ref = await world.put(task("print('migrated')"))

    seen = await world.until_seen(ref, lambda seen: seen.health is Health.DONE)

    assert seen.running == 0
    assert seen.digest == world.object(task("print('migrated')")).digest
    assert world.log("migrate") == "migrated\n"


async def test_a_task_that_fails_says_its_last_words_without_its_secrets(world: World):
    script = "import os; print(); raise SystemExit('cannot log in with ' + os.environ['URL'] + ' at all')"
    ref = await world.put(task(script, env={"URL": text("pg://", PASSWORD, "@host")}))

    seen = await world.until_seen(ref, lambda seen: seen.health is Health.FAILED)
    await world.reopen()
    again = await world.see(ref)

    assert seen.detail == "exited with code 1: cannot log in with pg://***@host at all"
    assert again == seen
    assert SECRET in world.log("migrate")


async def test_a_task_that_takes_too_long_is_ended_and_failed(world: World):
    ref = await world.put(task(PATIENT, timeout_seconds=0.5))

    seen = await world.until_seen(ref, lambda seen: seen.health is Health.FAILED)

    assert "did not end within" in seen.detail
    assert "busy" in seen.detail
    assert not world.state("migrate").is_alive


async def test_a_task_whose_shim_was_killed_has_failed(world: World):
    ref = await world.put(task(PATIENT))
    await until(lambda: "busy" in world.log("migrate"))

    os.kill(world.state("migrate").shim_pid, signal.SIGKILL)
    seen = await world.until_seen(ref, lambda seen: seen.health is Health.FAILED)

    assert "shim was killed" in seen.detail
    assert seen.running == 0


async def test_applying_a_task_again_starts_it_once_but_a_replace_runs_it_anew(world: World):
    script = "print('ran', flush=True)"
    ref = await world.put(task(script))
    await world.until_seen(ref, lambda seen: seen.health is Health.DONE)
    first = world.state("migrate").uid

    await world.put(task(script))
    await world.update(task(script))
    same = world.state("migrate").uid
    await world.replace(task(script))
    await until(lambda: world.state("migrate").uid != first)
    await world.until_seen(ref, lambda seen: seen.health is Health.DONE)

    assert same == first


async def test_a_failed_task_runs_again_when_it_is_applied_again(world: World):
    flag = world.home / "flag"
    one = task(f"import os, sys; sys.exit(0 if os.path.exists({str(flag)!r}) else 'not yet')")
    ref = await world.put(one)
    await world.until_seen(ref, lambda seen: seen.health is Health.FAILED)

    flag.write_text("")
    await world.replace(one)

    await world.until_seen(ref, lambda seen: seen.health is Health.DONE)


async def test_another_key_is_another_task_and_replaces_the_one_that_runs(world: World):
    ref = await world.put(task(PATIENT))
    await until(lambda: "busy" in world.log("migrate"))

    other = replace(task("print('second')"), key="schema/2")
    await world.replace(other)
    seen = await world.until_seen(ref, lambda seen: seen.health is Health.DONE)

    assert seen.digest == world.object(other).digest
    assert world.log("migrate") == "second\n"


async def test_a_daemon_that_reopens_finds_the_task_still_running(world: World):
    ref = await world.put(task(PATIENT))
    await until(lambda: "busy" in world.log("migrate"))
    before = world.state("migrate")

    await world.reopen()
    seen = await world.see(ref)

    assert (seen.health, seen.running) == (Health.PROGRESSING, 1)
    assert world.state("migrate") == before


async def test_secrets_appear_in_nothing_the_driver_says(world: World):
    script = "import os, time; print(os.environ['KEY'], flush=True); raise SystemExit(4)"
    one = task(script, env={"KEY": text(PASSWORD)})

    body = world.object(one)
    ref = await world.put(one)
    await world.until_seen(ref, lambda seen: seen.health is Health.FAILED)
    observed = await world.observe(ref)

    assert SECRET not in repr(body)
    assert SECRET not in repr(observed)
    assert SECRET not in repr(supervise.look(world.run("migrate")))
    records = [path.read_text() for path in (world.root / "objects").iterdir()]
    assert SECRET not in "".join(records)
