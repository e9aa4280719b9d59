"""A container of the image, run by buildah: its commands, its process 1, and what else runs in it."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from cli.ports import free_port
from tests.image.builder import Builder

START_SECONDS = 120.0
STOP_SECONDS = 120.0
COMMAND_SECONDS = 60.0

_OUTPUT = "tmp/output"
# written to a file because buildah 1.28 loses what a command says in its last moment, now and then
_WRITTEN = ("sh", "-c", f'exec "$@" > /{_OUTPUT} 2>&1', "sh")


@dataclass(frozen=True)
class Running:
    """The image's process 1, as a container runtime would start it."""

    process: psutil.Process
    runtime: subprocess.Popen[bytes]

    def stop(self) -> int:
        """What `docker stop` does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.runtime.wait(STOP_SECONDS)


@dataclass(frozen=True)
class Container:
    """A container of the image. It shares this machine's network, so it listens on a port of its own."""

    builder: Builder
    name: str
    config: dict[str, Any]
    env: dict[str, str] = field(default_factory=lambda: {"ARMILLARY_PORT": str(free_port())})

    @property
    def url(self) -> str:
        """Where the API listens."""
        return f"http://127.0.0.1:{self.env['ARMILLARY_PORT']}"

    @cached_property
    def root(self) -> Path:
        """Its root folder, seen from outside."""
        return Path(self.builder.run("mount", self.name))

    @property
    def output(self) -> str:
        """What the last command wrote, or the running one so far."""
        return (self.root / _OUTPUT).read_text(errors="replace").strip()

    def run(self, *command: str) -> str:
        """Run a command as the image's user; its output."""
        done = self._ended(*command)
        assert done == 0, f"{command} ended with {done}: {self.output[-4000:]}"
        return self.output

    def enter(self, *arguments: str) -> str:
        """Run the entry point with arguments; its output."""
        return self.run(*self.config["Entrypoint"], *arguments)

    def is_healthy(self) -> bool:
        """What the image's health check says."""
        kind, *probe = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return self._ended("sh", "-c", 'exec "$@" > /dev/null', "sh", *probe, is_written=False) == 0

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[Running]:
        """Start the entry point, with the image's own arguments if there are none; nothing of it outlives this."""
        words = [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])]
        command = self.builder.command(*self._arguments(*_WRITTEN, *words))
        runtime = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            yield Running(self._first_process(runtime, words), runtime)
        finally:
            self._kill()
            runtime.wait(STOP_SECONDS)

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in it: whose root folder is the container's, wherever that is mounted."""
        return [process for process in psutil.process_iter() if _is_root_of(self.root, process)]

    def programs(self) -> dict[str, int]:
        """The names of what runs in it, and as which user."""
        found = {}
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[process.name()] = process.uids().real
        return found

    def _ended(self, *command: str, is_written: bool = True) -> int:
        arguments = self._arguments(*(_WRITTEN if is_written else ()), *command)
        done = subprocess.run(
            self.builder.command(*arguments), capture_output=True, timeout=COMMAND_SECONDS, check=False
        )
        return done.returncode

    def _arguments(self, *command: str) -> list[str]:
        env = [f"--env={name}={value}" for name, value in self.env.items()]
        return ["run", "--isolation=chroot", *env, self.name, "--", *command]

    def _first_process(self, runtime: subprocess.Popen[bytes], words: list[str]) -> psutil.Process:
        # between the runtime and the entry point is buildah, which repeats its words and passes no signal on
        deadline = time.monotonic() + START_SECONDS
        while runtime.poll() is None and time.monotonic() < deadline:
            for process in psutil.Process(runtime.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                    said = process.cmdline()
                    if said[-len(words) :][1:] == words[1:] and not said[0].startswith("buildah"):
                        return process
            time.sleep(0.05)
        raise AssertionError(f"{words} did not start")

    def _kill(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while left := self.processes():  # again, because what supervises may have started another in between
            assert time.monotonic() < deadline, f"cannot be killed: {left}"
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=5)


def _is_root_of(folder: Path, process: psutil.Process) -> bool:
    try:
        return Path(f"/proc/{process.pid}/root").samefile(folder)
    except OSError:
        return False
