"""Acting: one action on one object, as far as it can be accepted now. Never waits for health or for an end.

Each write begins by recording the object without a digest and ends by recording it with one, so that whatever
cuts it off leaves something that the next pass sees as unfinished. Synchronous; the driver calls it in a thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from drivers.base import Applied, Conflict, Unavailable
from drivers.local import supervise
from drivers.local.body import EnvironmentBody, FilesBody, ProcessBody, RunBody, TaskBody, VolumeBody
from drivers.local.encode import Encoded
from drivers.local.files import manifest_of, remove_empty, remove_files, write_files
from drivers.local.records import OBJECTS, Mark, Record, Records, new_uid
from drivers.local.runtime import Lock, build_runtime
from drivers.local.see import Sight, mark_files, run_dir, run_dirs
from model.digest import digest
from model.names import Owner, Ref
from model.objects import Object

log = structlog.get_logger()

REPLICA = "ARMILLARY_REPLICA"
"""By it each replica knows its name: `<unit>-<number>`."""
_PLACES = (OBJECTS, "settings", "credentials", "volumes", "run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """One object to be made or changed. `again`: start a task anew, or a process that does not answer."""

    owner: Owner
    object: Object
    encoded: Encoded
    again: bool = False
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What acting needs: the records, the locks of the runtimes, and eyes for ports."""

    records: Records
    locks: Mapping[str, Lock]
    sight: Sight
    forgotten: Callable[[Ref], None] = field(default=lambda _: None)

    # Making and changing.

    def put(self, job: Put) -> Applied:
        """Make or change one object. Raises Conflict, Unavailable, OSError, SuperviseError."""
        release = job.object.ref.name.partition(".")[0]
        root = self.records.root(release)
        mark = Mark(installation=self.records.installation, owner=str(job.owner), release=release)
        self._claim(root, mark, is_environment=job.object.ref.kind == "Environment")
        before = self.records.find(mark, root, job.object.ref.kind, job.object.unit)
        _expect(before, job.uid)
        after = Record(
            mark=mark,
            kind=job.object.ref.kind,
            unit=job.object.unit,
            uid=before.uid if before and before.uid else new_uid(),
            frozen_digest=job.object.frozen_digest,
        )
        match job.object.body:
            case EnvironmentBody() as body:
                self._environment(root, after, before, job, body)
            case FilesBody() as body:
                self._files(root, after, before, job, body)
            case VolumeBody() as body:
                self._volume(root, after, before, job, body)
            case ProcessBody() as body:
                self._process(root, after, before, job, body)
            case TaskBody() as body:
                self._task(root, after, before, job, body)
        return Applied(uid=after.uid)

    def _claim(self, root: Path, mark: Mark, *, is_environment: bool) -> None:
        """Make sure that the folder is this owner's; only an Environment makes it so."""
        found = self.records.mark(root)
        if found is not None and found != mark:
            raise Conflict(f"{root} belongs to {found.owner} of installation {found.installation}; move it away")
        if found is not None:
            return
        if not is_environment:
            raise Unavailable(f"{root} is not there yet; its Environment comes first")
        if root.exists() and not self.records.is_blank(root):
            raise Conflict(f"{root} exists and carries no mark of Armillary; move it away, or use another home")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _record(self, root: Path, after: Record, before: Record | None) -> None:
        if after != before:
            self.records.write(root, after)

    def _environment(
        self, root: Path, after: Record, before: Record | None, job: Put, body: EnvironmentBody
    ) -> None:
        files = mark_files(after.mark)
        others = dict(body.others)
        facts = {"version": body.version, "lock": body.lock, "others": others, "files": manifest_of(files, 0o600)}
        final = replace(after, facts=facts, digest=job.object.digest)
        if final != before:
            self.records.write(root, replace(final, digest=None))
        write_files(root, files, 0o600)
        for version in (body.version, *others):
            build_runtime(self.records.home, self.locks[version])
        self._record(root, final, before)

    def _files(self, root: Path, after: Record, before: Record | None, job: Put, body: FilesBody) -> None:
        files = {path: value.encode() for path, value in job.encoded.values.items()}
        manifest = manifest_of(files, body.mode)
        final = replace(after, facts={"folder": body.folder, "files": manifest}, digest=job.object.digest)
        old: dict[str, Any] = dict(before.facts.get("files", {})) if before else {}
        if final != before:
            # Whatever was or will be written is named before it is, so that none of it is ever forgotten.
            both = {"folder": body.folder, "files": {**old, **manifest}}
            self.records.write(root, replace(final, facts=both, digest=None))
        write_files(root / body.folder, files, body.mode)
        if old.keys() - manifest.keys():
            remove_files(root / body.folder, old.keys() - manifest.keys())
        self._record(root, final, before)

    def _volume(self, root: Path, after: Record, before: Record | None, job: Put, body: VolumeBody) -> None:
        final = replace(after, facts={"folder": body.folder}, digest=job.object.digest)
        (root / body.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._record(root, final, before)

    def _process(self, root: Path, after: Record, before: Record | None, job: Put, body: ProcessBody) -> None:
        template = digest(body.run)
        probe = body.probe and {
            "url": body.probe.url,
            "is_own": body.probe.is_own,
            "expect": dict(body.probe.expect),
        }
        facts = {"replicas": body.replicas, "template": template, "ports": dict(body.ports), "probe": probe}
        final = replace(after, facts=facts, digest=job.object.digest)
        states = {number: supervise.look(path) for number, path in run_dirs(root, final).items()}
        if body.replicas and not any(state.is_alive for state in states.values()):
            holder = self.sight.port_holder(root, final.unit, body.ports.values(), states)
            if holder:
                raise Conflict(holder)
        if final != before:
            self.records.write(root, replace(final, digest=None))
        for number in range(body.replicas):
            folder = run_dir(root, final.unit, number)
            program = self._program(body.run, folder, job.encoded, template)
            program = replace(program, env={**program.env, REPLICA: f"{final.unit}-{number}"})
            supervise.start(folder, program, restart=job.again)
        for number in sorted(states.keys() - set(range(body.replicas))):
            supervise.stop(run_dir(root, final.unit, number))
        self._record(root, final, before)

    def _task(self, root: Path, after: Record, before: Record | None, job: Put, body: TaskBody) -> None:
        template = digest(body.run)
        final = replace(after, facts={"replicas": 1, "template": template}, digest=job.object.digest)
        folder = run_dir(root, final.unit, 0)
        state = supervise.look(folder)
        is_same = final == before and state.is_current and state.digest == template
        if is_same and (state.is_alive or (_is_done(state) and not job.again)):
            return
        self.records.write(root, replace(final, digest=None))
        program = self._program(body.run, folder, job.encoded, template)
        program = replace(program, mode="task", timeout_seconds=body.timeout_seconds, log_bytes_max=0)
        supervise.start(folder, program)
        self._record(root, final, None)

    def _program(self, run: RunBody, folder: Path, encoded: Encoded, template: str) -> supervise.Program:
        binaries = self.records.home / "runtimes" / run.runtime / "bin"
        env = supervise.environment(encoded.values)
        env["PATH"] = f"{binaries}:{env['PATH']}"
        return supervise.Program(
            command=(str(binaries / run.command[0]), *run.command[1:]),
            env=env,
            cwd=str(folder.parent.parent),
            log=str(folder / "output.log"),
            digest=template,
            stop_signal=run.stop_signal,
            grace_seconds=run.grace_seconds,
            secrets=encoded.secrets,
        )

    # Stopping and removing.

    def stop(self, owner: Owner, ref: Ref, uid: str) -> Applied:
        """Stop what runs of an object; what is desired of it stays."""
        found = self._ours(owner, ref)
        if found is None or found[1].kind not in ("Process", "Task"):
            return Applied(uid=found[1].uid if found else "")
        root, record = found
        _expect(record, uid)
        self._record(root, replace(record, is_stopped=True), record)
        for folder in run_dirs(root, record).values():
            supervise.stop(folder)
        return Applied(uid=record.uid)

    def delete(self, owner: Owner, ref: Ref, uid: str) -> Applied:
        """Remove an object, as far as possible now. The uid returned is empty once it is gone."""
        found = self._ours(owner, ref)
        if found is None:
            return Applied()
        root, record = found
        _expect(record, uid)
        match record.kind:
            case "Process" | "Task":
                is_gone = self._end(root, record)
            case "Environment":
                is_gone = self._leave(root, record)
            case "Volume":
                is_gone = _remove_volume(root, record)
            case _:
                is_gone = _remove_files(root, record)
        if not is_gone:
            return Applied(uid=record.uid)
        self.records.drop(root, record)
        if record.kind == "Environment":
            _remove_folder(root)
        self.forgotten(ref)
        return Applied()

    def _end(self, root: Path, record: Record) -> bool:
        """Ask everything to end; true once nothing is left."""
        self._record(root, replace(record, is_deleting=True), record)
        folders = run_dirs(root, record).values()
        for folder in folders:
            supervise.stop(folder)
        if any(supervise.look(folder).is_alive for folder in folders):
            return False
        for folder in folders:
            supervise.remove(folder)
        return True

    def _leave(self, root: Path, record: Record) -> bool:
        others = [one.ref for one in self.records.all(record.mark, root) if one.ref != record.ref]
        if others:
            names = ", ".join(str(ref) for ref in others)
            raise Unavailable(f"{root} still holds {names}; they are removed first")
        remove_files(root, mark_files(record.mark))
        return True

    def _ours(self, owner: Owner, ref: Ref) -> tuple[Path, Record] | None:
        release, _, unit = ref.name.partition(".")
        root = self.records.root(release)
        mark = self.records.mark(root)
        if mark is None:
            return None
        if mark.installation != self.records.installation or mark.owner != str(owner):
            raise Conflict(f"{root} belongs to {mark.owner} of installation {mark.installation}; it is left alone")
        found = (
            one
            for one in self.records.all(mark, root)
            if one.ref == ref or (one.kind, one.unit) == (ref.kind, unit)
        )
        record = next(found, None)
        return None if record is None else (root, record)

    def tidy(self, mark: Mark, root: Path) -> None:
        """Remove the run folders of replicas that are no longer wanted and have ended."""
        for record in self.records.all(mark, root):
            if record.kind != "Process" or record.digest is None or record.is_deleting:
                continue
            for number, folder in run_dirs(root, record).items():
                if number >= record.facts["replicas"] and not supervise.look(folder).is_alive:
                    supervise.remove(folder)


def _expect(record: Record | None, uid: str) -> None:
    if record is not None and uid and record.uid and record.uid != uid:
        raise Conflict(f"{record.ref} is not the object that was seen; another was made in its place")


def _is_done(state: supervise.State) -> bool:
    return state.condition == "ended" and state.last_exit is not None and state.last_exit.code == 0


def _remove_files(root: Path, record: Record) -> bool:
    if record.is_readable:
        folder = root / record.facts["folder"]
        kept = remove_files(folder, record.facts["files"])
        if kept:
            log.warning("foreign files kept", folder=str(folder), files=kept[:20], count=len(kept))
    return True


def _remove_volume(root: Path, record: Record) -> bool:
    folder = root / record.facts.get("folder", f"volumes/{record.unit}")
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    return True


def _remove_folder(root: Path) -> None:
    """Remove a deployment's folder; what others put there is named and kept."""
    remove_empty([*(root / place for place in _PLACES), root])
    if root.exists():
        kept = sorted(str(one.relative_to(root)) for one in root.rglob("*"))
        log.warning("foreign files kept", folder=str(root), files=kept[:20], count=len(kept))
