"""The machine's floor: what any program pays here. It stands beside every number."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_ROUNDS = 20


def floor() -> dict[str, object]:
    """Facts about this machine and the least that a hash, a start of Python and a durable write cost on it."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
        "sha256_of_64_mib_ms": _median_ms(_hash, rounds=3),
        "python_start_ms": _median_ms(_start_python),
        "fsync_of_8_kib_ms": _median_ms(_write_durably),
    }


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def _median_ms(work: Callable[[], None], rounds: int = _ROUNDS) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append((time.perf_counter() - begun) * 1000)
    return round(percentile(times, 50), 2)


def _hash() -> None:
    hashlib.sha256(bytes(64 * 2**20)).digest()


def _start_python() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)


def _write_durably() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(bytes(8192))
        file.flush()
        os.fsync(file.fileno())


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
