"""The shim by itself: logs, backoff, users, races, size. PostgreSQL and the daemon are kept by the same."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.local import kin, supervise
from drivers.local.supervise import Program, SuperviseError
from tests.drivers.local.world import SLEEPER, alive, until


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Path]:
    """A run folder; whatever runs in it is ended afterwards."""
    folder = tmp_path / "run" / "one"
    yield folder
    supervise.stop(folder)
    assert await supervise.ended(folder, 15.0)
    assert kin.leftovers(str(folder)) == []


def program(folder: Path, script: str = SLEEPER, **more) -> Program:
    more.setdefault("env", supervise.environment({}))
    return Program(command=(sys.executable, "-c", script), cwd="/", log=str(folder / "output.log"), **more)


async def test_a_shim_and_its_program_are_nobodys_children(run: Path):
    supervise.start(run, program(run))
    state = supervise.look(run)

    table = kin.processes()
    assert table[state.shim_pid][1] != os.getpid()
    assert table[state.child_pid][2] == state.child_pid
    assert not [pid for pid, (letter, parent, _) in table.items() if parent == os.getpid() and letter == "Z"]


async def test_a_shim_is_small(run: Path):
    supervise.start(run, program(run))

    assert 0 < _kib_of(supervise.look(run).shim_pid) < 12 * 1024


async def test_starting_the_same_twice_is_one_start_and_a_changed_one_replaces(run: Path):
    first = supervise.start(run, program(run))
    again = supervise.start(run, program(run))
    other = supervise.start(run, program(run, env={"A": "1"}))
    await until(lambda: supervise.look(run).uid == other)

    assert first == again != other


async def test_many_starters_at_once_leave_exactly_one_program(run: Path):
    await asyncio.gather(
        *(asyncio.to_thread(supervise.start, run, program(run, env={"N": str(n)})) for n in range(6))
    )
    await until(lambda: (state := supervise.look(run)).condition == "running" and state.is_current)

    await until(lambda: len(_shims(run)) == 1)  # one that came too late ends by itself
    await until(lambda: len(supervise.members(run)) == 1)


async def test_a_program_that_cannot_start_says_so_in_its_log(run: Path):
    missing = Program(command=("/nowhere/airflow",), env={}, cwd="/", log=str(run / "output.log"), mode="task")
    supervise.start(run, missing)
    await supervise.ended(run, 5.0)

    assert supervise.look(run).last_exit.code == 127
    assert supervise.tail(run / "output.log", 1)[0].startswith("armillary: cannot start /nowhere/airflow")


async def test_restarts_are_at_once_first_and_then_wait(run: Path):
    supervise.start(run, program(run, "raise SystemExit(1)"))
    await until(lambda: supervise.look(run).restarts == 3)
    began = time.monotonic()
    await until(lambda: supervise.look(run).restarts == 4)

    assert time.monotonic() - began > 1.0
    assert supervise.look(run).last_exit.code == 1


async def test_a_long_log_is_rotated_when_the_program_starts(run: Path):
    script = "print('x' * 2000); raise SystemExit(1)"
    supervise.start(run, program(run, script, log_bytes_max=1000))
    await until(lambda: supervise.look(run).restarts >= 3)

    assert _size(run / "output.log.1") == 2001
    assert _size(run / "output.log") in (0, 2001)
    assert not (run / "output.log.4").exists()


async def test_the_log_of_a_program_that_runs_on_and_on_stays_bounded(run: Path):
    script = "import time\nfor n in range(10**6): print(n, flush=True); time.sleep(0.001)"
    supervise.start(run, program(run, script, log_bytes_max=1000))
    await until((run / "output.log.2").exists, seconds=15.0)

    state = supervise.look(run)
    older, newer = ((run / f"output.log.{n}").read_text().split() for n in (2, 1))
    assert (state.condition, state.restarts) == ("running", 0)
    assert older[0] == "0"
    assert 0 <= int(newer[0]) - int(older[-1]) - 1 < 50  # what was written while the file was cut


async def test_the_unit_with_its_secrets_is_readable_by_its_owner_alone(run: Path):
    supervise.start(run, program(run, env={"KEY": "secret"}))

    assert _mode(run / "unit.json") == 0o600
    assert _mode(run) == 0o700
    assert "secret" not in (run / "state.json").read_text()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
async def test_root_runs_a_program_as_another_user_who_dies_with_the_shim_too():
    with tempfile.TemporaryDirectory(prefix="local-user-") as folder:
        run = Path(folder) / "one"
        script = "import os, time; print(os.getuid(), os.getgid(), os.getgroups(), flush=True); time.sleep(60)"
        supervise.start(
            run,
            Program(
                command=("/usr/bin/python3", "-c", script), env={}, cwd="/", log=f"{run}.log", user=(65534, 65534)
            ),
        )
        await until(lambda: _text(f"{run}.log"))
        state = supervise.look(run)
        os.kill(state.shim_pid, signal.SIGKILL)
        await until(lambda: state.child_pid not in alive())
        supervise.stop(run)
        ended = await supervise.ended(run, 10.0)

        assert _text(f"{run}.log") == "65534 65534 []\n"
        assert ended


async def test_stop_uses_the_signal_asked_for(run: Path):
    script = "import signal, time\ndef bye(*_): print('int', flush=True); raise SystemExit(0)\n"
    script += "signal.signal(signal.SIGINT, bye)\nprint('up', flush=True)\ntime.sleep(60)"
    supervise.start(run, program(run, script, stop_signal="SIGINT"))
    await until(lambda: "up" in (run / "output.log").read_text())

    supervise.stop(run)
    await supervise.ended(run, 10.0)

    assert "int" in (run / "output.log").read_text()
    assert supervise.look(run).last_exit.stopped


async def test_a_halted_program_can_be_stopped(run: Path):
    supervise.start(run, program(run, grace_seconds=10.0))
    os.kill(supervise.look(run).child_pid, signal.SIGSTOP)

    began = time.monotonic()
    supervise.stop(run)
    await supervise.ended(run, 10.0)

    assert time.monotonic() - began < 5.0


async def test_an_unknown_signal_is_refused_before_anything_starts(run: Path):
    with pytest.raises(SuperviseError, match="SIGNONSENSE"):
        supervise.start(run, program(run, stop_signal="SIGNONSENSE"))

    assert supervise.look(run).condition == "absent"


async def test_a_program_that_cannot_have_its_log_runs_all_the_same(run: Path):
    one = replace(program(run), log="/nowhere/output.log")
    supervise.start(run, one)

    assert supervise.look(run).condition == "running"
    assert _size(run / "shim.log") == 0


def test_a_programs_repr_shows_no_environment(tmp_path: Path):
    one = program(tmp_path, env={"KEY": "hunter2"}, secrets=("hunter2",))

    assert "hunter2" not in repr(one)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_what_a_supervised_daemon_put_under_shims_outlives_the_daemon(run: Path, tmp_path: Path, end: str):
    other = tmp_path / "run" / "other"
    script = f"""
import sys, time
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from drivers.local import supervise
from tests.drivers.local.test_supervise import program
supervise.start(Path({str(other)!r}), program(Path({str(other)!r})))
print("started", flush=True)
time.sleep(60)
"""
    supervise.start(run, program(run, script))
    await until(lambda: "started" in (run / "output.log").read_text())
    before, state = supervise.look(other), supervise.look(run)

    if end == "kill":
        os.kill(state.child_pid, signal.SIGKILL)
        await until(lambda: (run / "output.log").read_text().count("started") == 2)
    else:
        supervise.stop(run)
        await supervise.ended(run, 10.0)
    after = supervise.look(other)
    supervise.stop(other)
    await supervise.ended(other, 10.0)

    assert before.condition == "running"
    assert after == before


async def test_what_is_alive_is_not_removed(run: Path):
    supervise.start(run, program(run))

    with pytest.raises(SuperviseError, match="still runs"):
        supervise.remove(run)

    assert supervise.look(run).condition == "running"


async def test_a_pid_in_a_stale_state_is_never_signalled(run: Path):
    stranger = _sleeper()
    supervise.start(run, program(run))
    state_file = run / "state.json"
    text = state_file.read_text()
    state_file.write_text(re.sub(r'"shim_pid": \d+', f'"shim_pid": {stranger.pid}', text))

    supervise.stop(run)
    await asyncio.sleep(0.1)
    is_alive = stranger.poll() is None
    stranger.kill()
    stranger.wait()
    state_file.write_text(text)

    assert is_alive


async def test_an_unwritable_folder_is_an_error_that_says_where(tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(SuperviseError, match="cannot be written"):
        supervise.start(tmp_path / "file" / "run", program(tmp_path))


def _kib_of(pid: int) -> int:
    """The proportional set size of a process."""
    return int(re.search(r"^Pss: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1])


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def _size(path: Path) -> int:
    return path.stat().st_size


def _text(path: str) -> str:
    return Path(path).read_text()


def _sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLEEPER])


def _shims(run: Path) -> list[int]:
    found = []
    for pid in alive():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"shim.py" in command and str(run).encode() in command:
            found.append(pid)
    return found
