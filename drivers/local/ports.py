"""Ports: who listens on those a deployment needs. Only looks; never ends anybody."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from drivers.local.kin import MARK

_LISTEN = "0A"  # TCP_LISTEN in /proc/net/tcp
_HOLDER_SECONDS = 2.0  # how long an answer about a port's holder is good: walking all descriptors is slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who listens on a port. `pid` None: a process we may not see into."""

    port: int
    pid: int | None
    program: str

    def __str__(self) -> str:
        # The program's name alone: arguments may hold secrets.
        who = f"process {self.pid} ({self.program})" if self.pid else "a process of another user"
        return f"port {self.port} is held by {who}"


class Ports:
    """Listeners of this machine, asked no more often than needed."""

    def __init__(self) -> None:
        self._holders: dict[int, tuple[float, str, Holder | None]] = {}

    def foreign(self, ports: Iterable[int], run_dirs: Path, sessions: frozenset[int]) -> Holder | None:
        """The first holder of one of the ports that is not ours.

        Ours is what runs in one of `sessions`, or carries the mark of a run folder that starts with `run_dirs`.
        """
        wanted = sorted(set(ports))
        if not wanted:
            return None
        sockets = listening()
        for port in wanted:
            holder = self._holder(port, sockets[port]) if port in sockets else None
            if holder is not None and not _is_ours(holder, run_dirs, sessions):
                return holder
        return None

    def _holder(self, port: int, socket: str) -> Holder | None:
        """The holder of a listening socket; an answer about another socket, or of one who is gone, is void."""
        known = self._holders.get(port)
        is_old = known is None or known[1] != socket or time.monotonic() - known[0] > _HOLDER_SECONDS
        if known is None or is_old or (known[2] and known[2].pid and not psutil.pid_exists(known[2].pid)):
            known = self._holders[port] = (time.monotonic(), socket, find_holder(port))
        return known[2]


def listening() -> dict[int, str]:
    """The TCP ports of this machine that somebody listens on, with their socket's number where it is known."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        listeners = (one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
        return {one.laddr.port: "" for one in listeners if one.laddr}
    found: dict[int, str] = {}
    for table in tables:
        if table.exists():
            rows = (line.split() for line in table.read_text().splitlines()[1:])
            found |= {int(row[1].rpartition(":")[2], 16): row[9] for row in rows if row[3] == _LISTEN}
    return found


def find_holder(port: int) -> Holder | None:
    """Who listens on a port now; None when nobody does."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return Holder(port=port, pid=None, program="")
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port:
            return Holder(port=port, pid=one.pid, program=_program(one.pid))
    return None


def _program(pid: int | None) -> str:
    try:
        return psutil.Process(pid).name() if pid else ""
    except psutil.Error:
        return "unknown"


def _is_ours(holder: Holder, run_dirs: Path, sessions: frozenset[int]) -> bool:
    if holder.pid is None:
        return False
    try:
        if os.getsid(holder.pid) in sessions:
            return True
        environment = Path(f"/proc/{holder.pid}/environ").read_bytes()
    except ProcessLookupError:
        return True  # gone meanwhile: nobody's port
    except OSError:
        return False
    mark = f"{MARK}={run_dirs}".encode()
    return any(entry.startswith(mark) for entry in environment.split(b"\0"))
