"""Seeing: what is there of one deployment's folder. Reads files, locks and cached answers; modifies nothing.

Kept apart from `judge`, which says what it means for a process or a task.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.local import supervise
from drivers.local.body import Body, ProcessBody
from drivers.local.files import Sightings
from drivers.local.judge import Judged, judge_process, judge_task
from drivers.local.pace import Pace
from drivers.local.ports import Ports
from drivers.local.probes import Answer, Probes, Target
from drivers.local.records import MARK_FILE, Mark, Record, Records
from drivers.local.runtime import Lock, look_runtime, runtime_folder
from model.names import Ref
from model.objects import Drift, Health, Seen

_HEALTH = {
    "failed": Health.FAILED,
    "absent": Health.UNHEALTHY,
    "building": Health.PROGRESSING,
    "ready": Health.HEALTHY,
}
_WORST_FIRST = tuple(_HEALTH)


@dataclass(slots=True, kw_only=True)
class View:
    """What one look at some folders showed.

    `targets` must be probed so that the next look knows more; `paths` are the files it depended on.
    """

    seen: dict[Ref, Seen] = field(default_factory=dict)
    foreign: dict[Ref, str] = field(default_factory=dict)
    targets: dict[Ref, Target] = field(default_factory=dict)
    paths: set[str] = field(default_factory=set)


class Sight:
    """Looks at folders. Keeps only caches that a changed file makes void."""

    def __init__(self, records: Records, probes: Probes, pace: Pace) -> None:
        self._records = records
        self._probes = probes
        self._ports = Ports()
        self._sightings = Sightings()
        self._pace = pace
        self._hung: set[Ref] = set()

    def is_hung(self, ref: Ref) -> bool:
        """Whether a process ran and did not answer when last looked at."""
        return ref in self._hung

    def folder(self, mark: Mark, root: Path, view: View) -> None:
        """Add everything of ours in one folder to a view. Raises OSError for what cannot be seen."""
        for record in self._records.all(mark, root):
            if not record.is_readable:
                view.seen[record.ref] = _unreadable(record)
                continue
            view.paths |= self._paths(record, root)
            match record.kind:
                case "Environment":
                    view.seen[record.ref] = self._environment(record, root)
                case "Files":
                    view.seen[record.ref] = self._files(record, root)
                case "Volume":
                    view.seen[record.ref] = _volume(record, root)
                case "Process":
                    self._process(record, root, view)
                case "Task":
                    state = supervise.look(run_dir(root, record.unit, 0))
                    view.seen[record.ref] = _seen(record, judge_task(record, root, state))

    def _paths(self, record: Record, root: Path) -> set[str]:
        """The files and folders outside of `objects` and `run` that an object is judged by."""
        folder = os.path.join(root, record.facts.get("folder", ""))  # noqa: PTH118 -- called several times a second
        found = {f"{folder}/{path}" for path in record.facts.get("files", ())} | {folder}
        if record.kind == "Environment":
            for lock in _locks(record):
                found.add(f"{self._records.home}/runtimes/{runtime_folder(lock)}/runtime.json")
                found.add(f"{self._records.home}/runtimes/{runtime_folder(lock)}/bin/python")
        return found

    def places(self, wanted: Iterable[Ref], bodies: Mapping[Ref, Body], owner: str, view: View) -> None:
        """Add to a view who stands where objects will be put."""
        roots = {
            release: self._records.root(release) for release in {ref.name.partition(".")[0] for ref in wanted}
        }
        strangers = {release: self._stranger(root, owner) for release, root in roots.items()}
        for ref in sorted(wanted):
            release, _, unit = ref.name.partition(".")
            root = roots[release]
            if strangers[release]:
                view.foreign[ref] = strangers[release]
                continue
            body = bodies.get(ref)
            if ref not in view.seen and isinstance(body, ProcessBody):
                holder = self.port_holder(root, unit, body.ports.values(), {})
                if holder:
                    view.foreign[ref] = holder

    def _stranger(self, root: Path, owner: str) -> str:
        mark = self._records.mark(root)
        if mark is None:
            if not root.exists() or (root.is_dir() and self._records.is_blank(root)):
                return ""
            return f"{root} exists and carries no mark of Armillary; move it away, or use another home"
        if mark.installation != self._records.installation:
            return f"{root} belongs to another installation ({mark.installation}); move it away"
        return "" if mark.owner == owner else f"{root} belongs to {mark.owner}"

    def port_holder(
        self, root: Path, unit: str, ports: Iterable[int], states: Mapping[int, supervise.State]
    ) -> str:
        """Who, if not ourselves, listens on a port that a process needs. Empty when nobody does."""
        sessions = frozenset(state.child_pid for state in states.values() if state.child_pid)
        holder = self._ports.foreign(ports, root / "run" / f"{unit}-", sessions)
        return f"{holder}, and {unit} needs it; stop that program, it is not one of Armillary's" if holder else ""

    def _environment(self, record: Record, root: Path) -> Seen:
        states = [look_runtime(self._records.home, lock) for lock in _locks(record)]
        worst = min(states, key=lambda state: _WORST_FIRST.index(state.condition))
        drift = self._sightings.drift(root, root.name, record.facts["files"])
        drift += [state.detail for state in states if state.condition == "absent"]
        return _seen(record, Judged(health=_HEALTH[worst.condition], detail=worst.detail, drift=drift))

    def _files(self, record: Record, root: Path) -> Seen:
        folder = record.facts["folder"]
        drift = self._sightings.drift(root / folder, folder, record.facts["files"])
        health = Health.UNHEALTHY if drift else Health.HEALTHY
        return _seen(record, Judged(health=health, detail="; ".join(drift), drift=drift))

    def _process(self, record: Record, root: Path, view: View) -> None:
        states = {number: supervise.look(path) for number, path in run_dirs(root, record).items()}
        target = _target(record, states)
        answer = self._probes.answer(record.ref, target) if record.facts["probe"] else None
        judged = judge_process(record, root, states, answer, self._pace)
        view.seen[record.ref] = _seen(record, judged)
        (self._hung.add if judged.is_hung else self._hung.discard)(record.ref)
        if record.is_stopped or record.is_deleting or record.facts["replicas"] == 0:
            return
        holder = self._holder_now(record, root, states, answer)
        if holder:
            view.foreign[record.ref] = holder
        if target is not None:
            view.targets[record.ref] = target

    def _holder_now(
        self, record: Record, root: Path, states: Mapping[int, supervise.State], answer: Answer | None
    ) -> str:
        """A port's holder, looked for only while the process does not do well: looking takes time."""
        does_well = any(state.condition == "running" for state in states.values())
        if does_well and (answer is None or answer.verdict == "healthy"):
            return ""
        return self.port_holder(root, record.unit, record.facts["ports"].values(), states)


def _locks(record: Record) -> list[Lock]:
    """What an environment's runtimes are built from. Records of earlier releases name none but Airflow's."""
    facts = record.facts
    runtimes = {facts["version"]: facts["lock"], **facts.get("others", {})}
    return [Lock(version=version, path=Path(), digest=digest) for version, digest in runtimes.items()]


def run_dir(root: Path, unit: str, replica: int) -> Path:
    """The run folder of one replica."""
    return root / "run" / f"{unit}-{replica}"


def run_dirs(root: Path, record: Record) -> dict[int, Path]:
    """The run folders a process should have, and those it has: replica → path."""
    wanted = set(range(int(record.facts.get("replicas", 0))))
    prefix = f"{record.unit}-"
    try:
        names = os.listdir(root / "run")  # noqa: PTH208 -- names alone, and much faster
    except FileNotFoundError:
        names = []
    tails = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return {n: run_dir(root, record.unit, n) for n in sorted(wanted | {int(t) for t in tails if t.isdigit()})}


def mark_files(mark: Mark) -> dict[str, bytes]:
    """The content of owner.json."""
    lines = (f'"{name}": "{getattr(mark, name)}"' for name in ("installation", "owner", "release"))
    return {MARK_FILE: ("{" + ", ".join(lines) + "}\n").encode()}


def _target(record: Record, states: Mapping[int, supervise.State]) -> Target | None:
    probe: dict[str, Any] | None = record.facts["probe"]
    starts = tuple(state.started_at or 0.0 for state in states.values() if state.condition == "running")
    if not probe or not starts:
        return None
    return Target(
        url=probe["url"], is_own=probe["is_own"], expect=tuple(sorted(probe["expect"].items())), starts=starts
    )


def _volume(record: Record, root: Path) -> Seen:
    folder = record.facts["folder"]
    drift = [] if (root / folder).is_dir() else [f"{folder} is gone"]
    health = Health.UNHEALTHY if drift else Health.HEALTHY
    return _seen(record, Judged(health=health, detail="; ".join(drift), drift=drift))


def _unreadable(record: Record) -> Seen:
    what = f"the record of {record.ref} cannot be read"
    return Seen(ref=record.ref, uid="", digest=None, drift=(Drift(what=what),), health=Health.UNKNOWN, detail=what)


def _seen(record: Record, judged: Judged) -> Seen:
    return Seen(
        ref=record.ref,
        uid=record.uid,
        # Something being removed stands for nothing any more: were it wanted again, it would have to be made.
        digest=None if record.is_deleting else record.digest,
        frozen_digest=record.frozen_digest,
        drift=tuple(Drift(what=what) for what in judged.drift),
        health=judged.health,
        running=judged.running,
        detail=judged.detail,
    )
