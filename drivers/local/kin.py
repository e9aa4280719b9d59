"""The process table: who descends from whom, and what a dead shim's program left behind.

Standard library only, because the shim uses it. Where there is no /proc, `ps` answers and leftovers of a shim
that was killed are not found by their mark.
"""

# pathlib alone would cost every supervised process another MiB.
# ruff: noqa: PTH112, PTH115, PTH123, PTH208

from __future__ import annotations

import os

from drivers.local.rundir import read_json

MARK = "ARMILLARY_RUN"  # in the environment of everything a shim starts: whose leftover a process is


def processes() -> dict[int, tuple[str, int, int]]:
    """Every process: pid → (state letter, parent, session)."""
    if not os.path.isdir("/proc/self"):
        return _processes_by_ps()
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            found[int(name)] = (fields[0].decode(), int(fields[1]), int(fields[3]))
    return found


def _processes_by_ps() -> dict[int, tuple[str, int, int]]:
    found = {}
    with os.popen("ps -axo pid=,ppid=,state=") as listing:  # noqa: S605 -- constant; where there is no /proc
        for line in listing:
            pid, parent, state = line.split()[:3]
            try:
                found[int(pid)] = (state[0], int(parent), os.getsid(int(pid)))
            except OSError:
                continue
    return found


def relatives(ancestor: int, session: int) -> list[int]:
    """The living members of a session and all descendants of a process, itself not among them."""
    table = processes()
    family = {ancestor}
    grown = True
    while grown:
        children = {pid for pid, (_, parent, _) in table.items() if parent in family} - family
        family |= children
        grown = bool(children)
    found = family | {pid for pid, (_, _, owner) in table.items() if session and owner == session}
    return [pid for pid in found - {ancestor} if pid in table and table[pid][0] != "Z"]


def leftovers(run_dir: str) -> list[int]:
    """What earlier programs of a run folder left behind: they carry our mark or hold our lock."""
    mark = f"{MARK}={run_dir}".encode()
    session = read_json(f"{run_dir}/state.json").get("session")
    return [
        pid
        for pid, (state, _, owner) in processes().items()
        if state != "Z" and (_is_marked(pid, mark) or (owner == session and _holds(pid, f"{run_dir}/lock")))
    ]


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def _holds(pid: int, path: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{folder}/{name}") == path for name in os.listdir(folder))
    except OSError:
        return False


def send(pids: list[int], number: int) -> None:
    """Signal processes; one that is gone already is no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue
