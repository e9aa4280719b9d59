"""`armillary up --check` beside the same Airflow started by hand, in one run, with all wheels in uv's cache.

Both start with nothing, run the same DAG on the same Airflow from the same lock, and leave nothing behind. They
take turns, and the best round of each counts: what disturbs a machine only ever adds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uv import find_uv_bin

from benchmarks.bare_airflow import LOCK, bare_airflow
from benchmarks.installation import ARMILLARY
from cli.tryout import GREETING

_ROUNDS = 2
_CHECK_SECONDS = 1200.0


def first_light(rounds: int = _ROUNDS) -> dict[str, object]:
    """Both, so many times in turn. The ratio compares them from nothing to nothing."""
    warm_cache()
    by_hand, by_armillary = [], []
    for _ in range(rounds):
        by_hand.append(bare_airflow())
        by_armillary.append(checked())
    return {
        "by_hand": by_hand,
        "up_check": by_armillary,
        "ratio_in_all": _ratio(by_armillary, by_hand, "in_all_seconds"),
        "ratio_to_dag_success": _ratio(by_armillary, by_hand, "to_dag_success_seconds"),
        "target": {"ratio_in_all": 1.5},
    }


def _ratio(ours: list[dict[str, object]], bare: list[dict[str, object]], key: str) -> float:
    best = [min(float(str(one[key])) for one in runs) for runs in (ours, bare)]
    return round(best[0] / best[1], 2)


def warm_cache() -> None:
    """Have every wheel of the lock in uv's cache, by an installation that is thrown away."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-bench-warm-"))
    uv, python = find_uv_bin(), folder / "venv" / "bin" / "python"
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    made = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder / "venv")]
    subprocess.run(made, env=env, check=True)
    install = [uv, "pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(LOCK)]
    subprocess.run(install, env=env, check=True)
    shutil.rmtree(folder)


def checked() -> dict[str, object]:
    """One `armillary up --check`, with the moment at which it shows the task's line."""
    begun = time.perf_counter()
    lines, to_success = [], 0.0
    process = subprocess.Popen(
        [str(ARMILLARY), "up", "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if GREETING in line and not to_success:
            to_success = time.perf_counter() - begun
    if process.wait(_CHECK_SECONDS) != 0 or not to_success:
        raise RuntimeError("armillary up --check failed:\n" + "\n".join(lines))
    return {
        "to_dag_success_seconds": round(to_success, 2),
        "in_all_seconds": round(time.perf_counter() - begun, 2),
        "said": [line for line in lines if " took " in line or " units: " in line],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(first_light(), indent=2) + "\n")
