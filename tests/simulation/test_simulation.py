"""Lives of the whole daemon: those that failed once, and as many others as the environment asks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .failed import Failed, failed_once, keep
from .life import Report, drawn, live, run
from .reference import excess

_ROOT = Path(__file__).parents[2]
_LIVES = int(os.environ.get("ARMILLARY_LIVES", "150"))
_FIRST = 50_000  # always the same lives, so that a change is what makes one fail; `make simulate` draws new ones
_BATCH = 25
_FINGERPRINTS = "from tests.simulation.life import run; print([run(seed).fingerprint for seed in range(40, 48)])"


def require_well(report: Report) -> None:
    replay = f"replay: make simulate SEED={report.seed}"
    assert not report.violations, "\n".join([*map(str, report.violations), *report.history, replay])


@pytest.mark.parametrize("failed", failed_once(), ids=lambda failed: str(failed.plan.seed))
def test_a_life_that_failed_once_goes_well(failed):
    require_well(live(failed.plan))


def test_a_kept_life_is_the_life_that_it_was(tmp_path):
    keep(drawn(45), "it failed", tmp_path / "failed.jsonl")
    [kept] = failed_once(tmp_path / "failed.jsonl")
    assert kept == Failed(why="it failed", plan=drawn(45))
    assert live(kept.plan).fingerprint == run(45).fingerprint


@pytest.mark.parametrize("batch", range(_LIVES // _BATCH))
def test_lives_go_well(batch):
    first = _FIRST + batch * _BATCH
    for seed in range(first, first + _BATCH):
        require_well(run(seed))


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
