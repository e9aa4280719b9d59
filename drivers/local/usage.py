"""What the processes of a deployment use of the machine, unit by unit. Blocking: call it in a thread."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from drivers.base import Usage
from drivers.local import supervise
from model.names import UnitName


def usage(root: Path) -> dict[UnitName, Usage]:
    """Of each unit of which something runs in a deployment's folder; its shims count as its processes."""
    found: dict[UnitName, Usage] = {}
    for run in sorted(root.glob("run/*/unit.json")):
        unit = run.parent.name.rpartition("-")[0]
        used = _used(_pids(run.parent))
        if used.processes:
            found[unit] = _sum(found.get(unit), used)
    return found


def _pids(run: Path) -> Iterable[int]:
    shim = supervise.look(run).shim_pid
    return (*supervise.members(run), *([] if shim is None else [shim]))


def _used(pids: Iterable[int]) -> Usage:
    total = Usage(processes=0, cpu_seconds=0.0, memory_bytes=0)
    for pid in pids:
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                one = Usage(processes=1, cpu_seconds=sum(times[:4]), memory_bytes=_memory_of(process))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue  # it ended while we looked
        total = _sum(total, one)
    return total


def _memory_of(process: psutil.Process) -> int:
    """What it holds, pages that several share divided between them; where that is not told, all it touches."""
    try:
        full = process.memory_full_info()
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", 0) or full.rss)


def _sum(one: Usage | None, other: Usage) -> Usage:
    if one is None:
        return other
    return Usage(
        processes=one.processes + other.processes,
        cpu_seconds=one.cpu_seconds + other.cpu_seconds,
        memory_bytes=one.memory_bytes + other.memory_bytes,
    )
