"""When a line of a log was printed, as far as it says: as Airflow, Celery, gunicorn, Flower and Valkey write it.

A line that says no time belongs to the one before it: the rest of a traceback, a banner.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

_ISO = re.compile(rb"\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,]\d+)? ?(Z|[+-]\d\d:?\d\d)?")
_TORNADO = re.compile(rb"\[[A-Z] (\d{6} \d\d:\d\d:\d\d) ")
_VALKEY = re.compile(rb"\d+:[A-Z] (\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d)\.\d+ ")


def printed_at(line: bytes) -> datetime | None:
    """The moment that a line begins with, to the second. One without a zone is in this machine's own."""
    try:
        return _moment(line)
    except ValueError:
        return None  # it looks like a moment and is none: 2026-13-45


def since(lines: Sequence[bytes], moment: datetime) -> Sequence[bytes]:
    """The lines from the first that was printed at that moment or later; all of them when none says when."""
    stamps = [printed_at(line) for line in lines]
    if not any(stamps):
        return lines
    first = next((at for at, stamp in enumerate(stamps) if stamp and stamp >= moment), len(lines))
    return lines[first:]


def _moment(line: bytes) -> datetime | None:
    if found := _ISO.match(line):
        day, time, zone = (part.decode() if part else "" for part in found.groups())
        return _zoned(datetime.fromisoformat(f"{day}T{time}{zone}"))
    if found := _TORNADO.match(line):
        return _zoned(datetime.strptime(found[1].decode(), "%y%m%d %H:%M:%S"))  # noqa: DTZ007
    if found := _VALKEY.match(line):
        return _zoned(datetime.strptime(found[1].decode(), "%d %b %Y %H:%M:%S"))  # noqa: DTZ007
    return None


def _zoned(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
