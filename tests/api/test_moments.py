"""When lines were printed: every form that an Airflow's programs print, and no line lost for want of one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.moments import printed_at, since

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
HERE = NOON.astimezone().replace(tzinfo=None)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-23T12:00:00.047799Z [info     ] Refreshing bundle dags-folder",
        "[2026-11-23T12:00:00.047+0000] {scheduler_job_runner.py:1} INFO - Exiting gracefully",
        "[2026-11-23T14:00:00.047+02:00] {scheduler_job_runner.py:1} INFO - Exiting gracefully",
        "[2026-11-23 12:00:00 +0000] [4711] [INFO] Handling signal: term",
        f"[{HERE:%Y-%m-%d %H:%M:%S},047: INFO/MainProcess] celery@here ready.",
        f"[I {HERE:%y%m%d %H:%M:%S} command:168] Visit me at http://127.0.0.1:20005",
        f"4711:M {HERE:%d %b %Y %H:%M:%S}.047 * Ready to accept connections tcp",
    ],
)
def test_every_form_says_its_moment(line):
    assert printed_at(line.encode()) == NOON


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "2026-13-45T99:00:00Z x", "\x00\xff"])
def test_what_is_no_moment_says_none(line):
    assert printed_at(line.encode("latin-1")) is None


def stamped(minutes: int) -> bytes:
    return f"{NOON + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ} told".encode()


def test_a_line_without_a_moment_stays_with_the_one_before_it():
    lines = [stamped(0), b"rest of it", stamped(9), b"Traceback", stamped(10)]

    assert since(lines, NOON + timedelta(minutes=5)) == lines[2:]
    assert since(lines, NOON + timedelta(minutes=30)) == []
    assert since([b"a", b"b"], NOON) == [b"a", b"b"]


@given(st.lists(st.integers(0, 1000) | st.just(None)), st.integers(0, 1000))
def test_nothing_that_is_new_enough_is_left_out(minutes, ago):
    lines = [b"without" if at is None else stamped(at) for at in minutes]
    kept = since(lines, NOON + timedelta(minutes=ago))

    assert kept == lines[len(lines) - len(kept) :]
    left_out = minutes[: len(lines) - len(kept)]
    assert all(at is None or at < ago for at in left_out)
