"""A log stays within its bound while its program runs, and nobody who writes or reads has to know."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.local import logfile


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "output.log")


def write(descriptor: int, *lines: str) -> None:
    os.write(descriptor, "".join(f"{one}\n" for one in lines).encode())


def kept(path: str) -> list[str]:
    """All lines that are still on disk, the oldest first."""
    files = [Path(one) for one in (f"{path}.3", f"{path}.2", f"{path}.1", path)]
    return [line for file in files if file.exists() for line in file.read_text().splitlines()]


def test_a_program_goes_on_writing_into_the_emptied_file(path: str):
    log = logfile.opened(path, 100)
    write(log, "a" * 200)
    logfile.bound(path, 100)
    write(log, "b")

    assert Path(path).read_text() == "b\n"
    assert kept(path) == ["a" * 200, "b"]


def test_what_was_moved_aside_is_private(path: str):
    write(logfile.opened(path, 100), "a" * 200)
    logfile.bound(path, 100)

    assert Path(f"{path}.1").stat().st_mode & 0o777 == 0o600


def test_a_log_within_its_bound_and_one_without_a_bound_stay_as_they_are(path: str):
    write(logfile.opened(path, 100), "a" * 50)
    logfile.bound(path, 100)
    logfile.bound(path, 0)
    logfile.bound(f"{path}.nowhere", 100)

    assert list(Path(path).parent.iterdir()) == [Path(path)]


def test_where_there_is_no_room_for_a_copy_nothing_is_lost(path: str):
    write(logfile.opened(path, 100), "a" * 200)
    Path(f"{path}.1").write_text("older\n")
    Path(f"{path}.new").mkdir()  # as if it could not be made
    logfile.bound(path, 100)

    assert kept(path) == ["older", "a" * 200]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_law_what_is_kept_is_the_newest_of_what_was_written_and_bounded(tmp_path_factory, bursts: list[int]):
    path = str(tmp_path_factory.mktemp("log") / "output.log")
    log, written = logfile.opened(path, 100), []
    for number, burst in enumerate(bursts):
        lines = [f"{number} {'x' * burst}"]
        write(log, *lines)
        written += lines
        logfile.bound(path, 100)
    os.close(log)

    left = kept(path)
    assert left == written[len(written) - len(left) :]
    assert len(left) == len(written) or sum(map(len, left)) > 100
    assert sum(len(one) + 1 for one in left) <= 4 * (100 + 45)
