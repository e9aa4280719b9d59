"""The shim: keeps one program running, or runs it once, whatever becomes of the daemon.

Started detached as `python -I -S shim.py RUN_DIR [--end]`; standard library only, because it must start in
milliseconds and stay small. It reads RUN_DIR/unit.json once (see `rundir`); `supervise` is its other half.

SIGTERM to the shim is a request to stop: the program's stop signal, its grace, then SIGKILL for everything it
started, whatever session or process group that moved to. `--end` ends what is there and runs nothing.
"""

# pathlib alone would cost every supervised process another MiB.
# ruff: noqa: PTH108, PTH110, PTH112, PTH116, PTH120, PTH100

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

if __name__ == "__main__":  # isolated mode leaves out even our own package
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from drivers.local import logfile
from drivers.local.kin import MARK, leftovers, relatives, send
from drivers.local.rundir import is_held, read_json, take, write_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

QUEUED = 5  # exit code: another shim already waits to take over
INVALID = 6  # exit code: unit.json cannot be read

_PR_SET_PDEATHSIG = 1
_BACKOFF_SECONDS_MAX = 30.0
_STEADY_SECONDS = 60.0  # a program that ran this long starts over with a backoff of 0
_FOLDER_CHECK_SECONDS = 2.0
_LEFTOVER_SECONDS = 1.0  # what a dead program leaves behind gets this long between SIGTERM and SIGKILL
_LINUX = sys.platform == "linux"


class Shim:
    """One run folder's shim, from the moment it holds the locks."""

    def __init__(self, run_dir: str) -> None:
        """Prepare to be woken by signals; nothing runs yet."""
        self.run_dir = run_dir
        self.unit: dict[str, Any] = {}
        self.child = 0
        self.status: int | None = None
        self.lock = -1
        self.is_stopping = False
        self.is_late = False
        self.state: dict[str, Any] = {"shim_pid": os.getpid(), "restarts": 0, "last_exit": None}
        self._wakeup, alarm = os.pipe()
        for descriptor in (self._wakeup, alarm):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, _wake)
        for ignored in (signal.SIGHUP, signal.SIGINT):
            signal.signal(ignored, signal.SIG_IGN)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.is_stopping = True

    def sleep(self, seconds: float) -> None:
        """Wait for a signal, at most so long."""
        ready, _, _ = select.select([self._wakeup], [], [], max(0.0, seconds))
        if ready:
            os.read(self._wakeup, 512)

    def note(self, **facts: object) -> None:
        """Record what is so now. A full disk must not end what runs, so a failed write is let go."""
        self.state.update(facts)
        if self.lock >= 0 and self.is_orphaned():
            return  # the folder, if there is one, is another shim's
        try:
            write_json(f"{self.run_dir}/state.json", self.state)
        except OSError:
            return

    def is_orphaned(self) -> bool:
        """Whether the run folder, or the lock in it, was taken away: then nobody could ever stop us."""
        ours = os.fstat(self.lock)
        try:
            there = os.stat(f"{self.run_dir}/lock")
        except OSError:
            return True
        # The number of links first: the number of a removed file is soon another's.
        return ours.st_nlink == 0 or (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino)

    def remaining(self) -> list[int]:
        """What the program started and is still there: its session, its descendants, and what carries our mark.

        Orphans are not made our children for this: the daemon runs under a shim too, and the shims that it starts
        must be nobody's.
        """
        return sorted({*relatives(os.getpid(), self.child), *leftovers(self.run_dir)})

    # The turn of one program.

    def run(self, started: Any) -> None:
        """Keep the program running until asked to stop; a task runs once. `started()` is called when it runs."""
        while True:
            began = time.monotonic()
            self.start()
            started()
            self.attend(began)
            self.end(time.monotonic() - began)
            if self.is_stopping or self.is_orphaned() or self.unit["mode"] == "task":
                return
            self.note(restarts=int(self.state["restarts"]) + 1)
            self.pause(self.backoff(time.monotonic() - began))
            if self.is_stopping:
                return

    def start(self) -> None:
        """Start the program in a session of its own, its output straight into the log."""
        log = logfile.opened(self.unit["log"], int(self.unit["log_bytes_max"]))
        shim_pid, started_at = os.getpid(), time.time()
        # A signal to the newborn must wait until it is the program: our own handlers would swallow it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self.child = os.fork()
        except OSError:  # too many processes: as if it had ended at once, so that it is tried again
            self.child, self.status = 0, 126 << 8
        if self.child == 0 and self.status is None:
            _become(self.unit, {**self.unit["env"], MARK: self.run_dir}, (log, self.lock), shim_pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(log)
        self.note(state="running", child_pid=self.child, session=self.child, started_at=started_at)

    def attend(self, began: float) -> None:
        """Wait until the program ended, was asked to stop, or took too long."""
        limit = self.unit.get("timeout_seconds")
        while not self.has_ended():
            left = began + float(limit) - time.monotonic() if limit else _FOLDER_CHECK_SECONDS
            self.is_stopping = self.is_stopping or self.is_orphaned()
            self.is_late = left <= 0
            if self.is_stopping or self.is_late:
                self.stop()
                return
            logfile.bound(self.unit["log"], int(self.unit["log_bytes_max"]))
            self.sleep(min(_FOLDER_CHECK_SECONDS, left))

    def stop(self) -> None:
        """The stop signal, the grace, then SIGKILL for everything."""
        self.note(state="stopping")
        # SIGCONT, because a program that somebody halted could not hear anything else.
        send([self.child], getattr(signal, self.unit["stop_signal"]))
        send([self.child], signal.SIGCONT)
        deadline = time.monotonic() + float(self.unit["grace_seconds"])
        while not self.has_ended() and time.monotonic() < deadline:
            self.sleep(min(1.0, deadline - time.monotonic()))
        while not self.has_ended():
            send([self.child, *self.remaining()], signal.SIGKILL)
            self.sleep(0.05)

    def end(self, ran_seconds: float) -> None:
        """Clear away what the program left behind, and record how it ended."""
        self.clear(self.remaining)
        code = os.waitstatus_to_exitcode(self.status or 0)
        self.child, self.status = 0, None
        last_exit = {
            "code": code if code >= 0 else None,
            "signal": signal.Signals(-code).name if code < 0 else None,
            "at": time.time(),
            "duration": round(ran_seconds, 3),
            "timed_out": self.is_late,
            "stopped": self.is_stopping,
        }
        self.note(state="waiting", child_pid=None, last_exit=last_exit)

    def clear(self, remaining: Any) -> None:
        """End the processes that `remaining()` lists: SIGTERM, a moment, SIGKILL until none is left."""
        left = remaining()
        send(left, signal.SIGTERM)
        deadline = time.monotonic() + _LEFTOVER_SECONDS
        while left and time.monotonic() < deadline + 10.0:  # not killable (a dead disk): the next start tries
            self.sleep(0.05)
            left = remaining()
            if time.monotonic() > deadline:
                send(left, signal.SIGKILL)

    def has_ended(self) -> bool:
        """Whether the program ended. Buries it."""
        if self.child and self.status is None:
            pid, status = os.waitpid(self.child, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def backoff(self, ran_seconds: float) -> float:
        """Seconds until the next start: none at first, then 1, 2, 4 … 30 with jitter."""
        if ran_seconds >= _STEADY_SECONDS:
            self.state["failures"] = 0
        failures = int(self.state.get("failures", 0))
        self.state["failures"] = failures + 1
        if failures == 0:
            return 0.0
        jitter = 0.8 + 0.4 * os.urandom(1)[0] / 255
        return float(min(_BACKOFF_SECONDS_MAX, 2.0 ** min(failures - 1, 10))) * jitter

    def pause(self, seconds: float) -> None:
        """Wait before the next start."""
        deadline = time.monotonic() + seconds
        self.note(next_start_at=time.time() + seconds)
        while not self.is_stopping and time.monotonic() < deadline:
            self.sleep(min(_FOLDER_CHECK_SECONDS, deadline - time.monotonic()))
            self.is_stopping = self.is_stopping or self.is_orphaned()

    def finish(self) -> None:
        """Leave behind how it ended."""
        self.note(state="ended")
        if self.is_orphaned():
            return
        try:
            write_json(
                f"{self.run_dir}/exit.json", self.state["last_exit"] or {"stopped": True, "at": time.time()}
            )
        except OSError:
            return


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Only so that the wake-up pipe is written."""


def _become(unit: dict[str, Any], env: dict[str, str], files: tuple[int, int], shim_pid: int) -> NoReturn:
    """In the forked child: turn into the program. Never returns."""
    try:
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals():
            if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.setsid()
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (files[0], 1), (files[0], 2)):
            os.dup2(source, target)
        os.set_inheritable(files[1], True)
        _drop(unit.get("user"))
        _prctl(_PR_SET_PDEATHSIG, getattr(signal, unit["stop_signal"]))  # after _drop, which clears it
        if os.getppid() != shim_pid:  # it died before we could be told
            os._exit(127)
        os.umask(0o077)
        os.chdir(unit["cwd"])
        command = unit["command"]
        os.execve(command[0], command, env)  # noqa: S606 -- the product
    except BaseException as error:  # noqa: BLE001 -- a forked copy of the shim must never run on
        os.write(2, f"armillary: cannot start {unit['command'][0]}: {error}\n".encode())
    os._exit(127)


def _drop(user: list[int] | None) -> None:
    if user is not None and os.getuid() == 0:
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _detach(run_dir: str) -> int:
    """Go on as a process nobody waits for. Returns the pipe on which to say that the start was accepted.

    What Python itself has to say about the shim, which is nothing, goes to shim.log.
    """
    ready, told = os.pipe()
    if os.fork() != 0:
        os.close(told)
        code = os.read(ready, 1)  # ends when it was told, or died
        os._exit(code[0] if code else 1)
    os.close(ready)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    errors = os.open(f"{run_dir}/shim.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((null, 0), (null, 1), (errors, 2)):
        os.dup2(source, target)
    return told


def _succeed(shim: Shim, tell: Any) -> bool:
    """Take the lock, ending whoever holds it. False when asked to stop meanwhile."""
    deadlines: dict[int, float] = {}
    while True:
        taken = take(f"{shim.run_dir}/lock", 0.0)
        if taken is not None:
            shim.lock = taken
            return True
        if is_held(f"{shim.run_dir}/shim.lock"):
            _ask(read_json(f"{shim.run_dir}/state.json"), deadlines)
        else:
            shim.clear(lambda: leftovers(shim.run_dir))
        tell()
        shim.sleep(0.05)
        if shim.is_stopping or not os.path.isdir(shim.run_dir):
            return False


def _ask(state: dict[str, Any], deadlines: dict[int, float]) -> None:
    """Ask the predecessor to stop, once; a shim that did not long after its grace is killed."""
    pid = int(state.get("shim_pid") or 0)
    if pid and pid not in deadlines:
        deadlines[pid] = time.monotonic() + float(state.get("grace_seconds") or 0) + 30.0
        send([pid], signal.SIGTERM)
    elif pid and time.monotonic() > deadlines[pid]:
        send([pid], signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Take over the run folder, run what unit.json says, and end."""
    run_dir, purpose = arguments[0], "end" if "--end" in arguments[1:] else "run"
    waiting = take(f"{run_dir}/next.lock", 0.2)
    if waiting is None:
        return QUEUED
    told = _detach(run_dir)
    os.ftruncate(waiting, 0)
    os.write(waiting, f"{os.getpid()} {purpose}".encode())
    shim = Shim(run_dir)
    tell = _Teller(told)
    if not _succeed(shim, tell) or take(f"{run_dir}/shim.lock", 5.0) is None:
        return 0
    # unit.json is read only now: whoever saw us waiting may still have changed it.
    os.close(waiting)
    shim.unit = read_json(f"{run_dir}/unit.json")
    facts = {name: shim.unit.get(name) for name in ("uid", "digest", "grace_seconds")}
    shim.note(state="starting", **facts)
    shim.clear(lambda: leftovers(run_dir))
    if purpose == "run" and shim.unit:
        _forget(f"{run_dir}/exit.json")
        shim.run(tell)
    shim.finish()
    tell(0 if shim.unit else INVALID)
    return 0


class _Teller:
    """Says once, to whoever started us, that the start was accepted."""

    def __init__(self, pipe: int) -> None:
        self.pipe: int | None = pipe

    def __call__(self, code: int = 0) -> None:
        if self.pipe is not None:
            os.write(self.pipe, bytes([code]))
            os.close(self.pipe)
            self.pipe = None


def _forget(path: str) -> None:
    if os.path.exists(path):
        os.unlink(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
