"""Who listens on a TCP port of this machine, so that an error can name the holder."""

from __future__ import annotations

import socket
from contextlib import closing

import psutil

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """True when a server could listen on that port of the loopback interface now."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def holder(port: int) -> str:
    """Who listens there, in words: `process 4711 (nginx, user www-data)`; a guess when it cannot be seen."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        connections = []
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
            return describe(one.pid)
    return "a process that this user may not see"


def describe(pid: int) -> str:
    """A process in words; its number alone when it has just ended."""
    try:
        process = psutil.Process(pid)
        return f"process {pid} ({process.name()}, user {process.username()})"
    except psutil.Error:
        return f"process {pid}"
