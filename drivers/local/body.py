"""The bodies of local objects: plain data that says what to write or run, secrets and paths still references.

Made by `translate`, read by `act`. Their digests are the objects' digests, so nothing in them depends on the
clock, on the machine's state, or on a secret's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from model.names import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentBody:
    """A deployment's folder, and the runtimes that its processes run from: Airflow's, and others by version."""

    root: str
    version: str
    lock: str
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesBody:
    """Files under `<root>/<folder>`: path inside it → content."""

    root: str
    folder: str
    mode: int
    files: Mapping[str, Text]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeBody:
    """A folder whose content is not ours."""

    root: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBody:
    """What one replica, or a task, runs. A change of anything in it needs a restart."""

    root: str
    runtime: str
    command: tuple[str, ...]
    env: Mapping[str, Text]
    mounts: Mapping[str, str]
    stop_signal: str = "SIGTERM"
    grace_seconds: float = 20.0
    again: str = ""  # changes when a restart is asked for, or when a task achieves something else


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBody:
    """An HTTP GET that must answer 200. `is_own`: the port asked is the probed process's own.

    With a URL of `tcp://` a line is said there (the one key of `expect`), and the answer begins with its value.
    """

    url: str
    is_own: bool
    expect: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessBody:
    """Replicas of one thing that runs for ever. `ports` are those it listens on itself: name → number."""

    run: RunBody
    replicas: int
    ports: Mapping[str, int]
    probe: ProbeBody | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBody:
    """Something that runs once."""

    run: RunBody
    timeout_seconds: float


Body = EnvironmentBody | FilesBody | VolumeBody | ProcessBody | TaskBody
