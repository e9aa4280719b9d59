"""What units use: all of their processes, and nobody else's."""

from __future__ import annotations

from .world import RELEASE, World, process, until


async def test_what_a_unit_uses_counts_all_of_its_replicas_and_what_they_started(world: World):
    script = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "kept = bytearray(64 * 2**20); print('ready', flush=True); time.sleep(60)"
    )
    await world.put(process(script=script, replicas=2))
    await until(lambda: all("ready" in world.log(replica=one) for one in (0, 1)))

    used = world.driver.usage(RELEASE)

    assert used.keys() == {"scheduler"}
    assert used["scheduler"].processes == 6  # of each replica: the shim, the program, its child
    assert used["scheduler"].memory_bytes > 2 * 64 * 2**20
    assert used["scheduler"].cpu_seconds > 0


async def test_a_release_of_which_nothing_runs_uses_nothing(world: World):
    assert world.driver.usage("nobody-at-all") == {}
