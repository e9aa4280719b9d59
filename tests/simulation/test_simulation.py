"""Lives of the whole daemon: those that failed once, and as many others as the environment asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .life import drawn, live, run
from .reference import excess

_SEEDS = Path(__file__).with_name("seeds.txt")
_ROOT = Path(__file__).parents[2]
_LIVES = int(os.environ.get("ARMILLARY_LIVES", "150"))
_FIRST = 50_000  # always the same lives, so that a change is what makes one fail; `make simulate` draws new ones
_BATCH = 25
_FINGERPRINTS = "from tests.simulation.life import run; print([run(seed).fingerprint for seed in range(40, 48)])"


def failed_once() -> list[int]:
    lines = (line.strip() for line in _SEEDS.read_text().splitlines())
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def require_well(seed: int) -> None:
    report = run(seed)
    told = "\n".join([*map(str, report.violations), *report.history, f"replay: make simulate SEED={seed}"])
    assert not report.violations, told


@pytest.mark.parametrize("seed", failed_once())
def test_a_life_that_failed_once_goes_well(seed):
    require_well(seed)


@pytest.mark.parametrize("batch", range(_LIVES // _BATCH))
def test_lives_go_well(batch):
    first = _FIRST + batch * _BATCH
    for seed in range(first, first + _BATCH):
        require_well(seed)


@pytest.mark.parametrize("seed", range(3000, 3008))
def test_a_life_writes_no_more_than_its_reference_and_its_faults_explain(seed):
    plan = drawn(seed)
    assert excess(plan, live(plan)) == []


def test_the_same_seed_is_the_same_life():
    first, again = run(45), run(45)
    assert first.fingerprint == again.fingerprint
    assert first.history == again.history


def test_a_life_is_the_same_in_another_process_whatever_the_order_of_hashes():
    told = {fingerprints_in_a_process(hash_seed) for hash_seed in ("1", "2")}
    assert len(told) == 1


def fingerprints_in_a_process(hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _FINGERPRINTS],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout
