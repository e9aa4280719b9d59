"""Batching of records: what many passes conclude at about the same time is written in one transaction.

A caller of `record` waits for the batch that holds its record. Batches are written one after the other, so
two records of one owner are stored in the order they came. A record that comes alone is written at once: the
interval is the time between two batches, not before the first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from model.status import Record
from state.errors import Fenced, StateError, Unreachable

BATCH_INTERVAL_SECONDS = 0.005  # a pass holds its worker as long: four workers with 0.05 end 80 passes a second
BATCH_ROWS_MAX = 200
_WAITING_MAX = 2000  # beyond it passes wait to be heard at all, which slows them down as it should

Write = Callable[[tuple[Record, ...]], Awaitable[tuple[str | None, ...]]]
"""Writes records in one transaction; for each None, or the sentence why it was fenced."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: Record
    stored: asyncio.Future[None]

    def settle(self, error: BaseException | None) -> None:
        """Tell the caller; one that was cancelled meanwhile is not told."""
        if self.stored.done():
            return
        if error is None:
            self.stored.set_result(None)
        else:
            self.stored.set_exception(error)


class Recorder:
    """Collects records for a short while and writes them together. Belongs to one event loop."""

    def __init__(self, write: Write, *, interval_seconds: float = BATCH_INTERVAL_SECONDS) -> None:
        self._write = write
        self._interval_seconds = interval_seconds
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._room = asyncio.Semaphore(_WAITING_MAX)
        self._full = asyncio.Event()
        self._closing = False
        self._next_at = 0.0  # of the loop's clock
        self._writer: asyncio.Task[None] | None = None

    async def record(self, record: Record) -> None:
        """Return once the record is stored. Raises Fenced when refused, Unreachable when it could not be."""
        if record.is_empty:
            return
        async with self._room:
            if self._closing:
                raise Unreachable("the store is closing; the next daemon records what this pass concluded")
            waiting = _Waiting(record, asyncio.get_running_loop().create_future())
            self._waiting.append(waiting)
            self._rows += _rows(record)
            self._wake()
            await waiting.stored

    async def close(self) -> None:
        """Write what waits, and take no more."""
        self._closing = True
        self._full.set()
        if self._writer is not None:
            await asyncio.wait({self._writer})

    def _wake(self) -> None:
        if self._rows >= BATCH_ROWS_MAX:
            self._full.set()
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all(), name="record")

    async def _write_all(self) -> None:
        while self._waiting:
            await self._collect()
            await self._write_batch(self._take())

    async def _collect(self) -> None:
        """Wait until the next batch may be written: the interval is over, or the batch is full."""
        loop = asyncio.get_running_loop()
        if self._next_at > loop.time():
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_at):
                    await self._full.wait()
        self._next_at = loop.time() + self._interval_seconds

    def _take(self) -> tuple[_Waiting, ...]:
        """The next batch: at least one record, and no more rows than one transaction should write."""
        batch = [self._waiting.popleft()]
        rows = _rows(batch[0].record)
        while self._waiting and (rows := rows + _rows(self._waiting[0].record)) <= BATCH_ROWS_MAX:
            batch.append(self._waiting.popleft())
        self._rows -= sum(_rows(one.record) for one in batch)
        if self._rows < BATCH_ROWS_MAX and not self._closing:
            self._full.clear()
        return tuple(batch)

    async def _write_batch(self, batch: tuple[_Waiting, ...]) -> None:
        try:
            answers = await self._write(tuple(one.record for one in batch))
        except StateError as error:
            await self._write_apart(batch, error)
        except BaseException as error:
            for one in batch:
                one.settle(error)
            raise
        else:
            for one, fenced in zip(batch, answers, strict=True):
                one.settle(Fenced(fenced) if fenced is not None else None)

    async def _write_apart(self, batch: tuple[_Waiting, ...], error: StateError) -> None:
        """One record that the database refuses must not take the others down with it."""
        if len(batch) == 1 or isinstance(error, Unreachable):
            for one in batch:
                one.settle(error)
            return
        _log.warning("records written apart", records=len(batch), error=type(error).__name__)
        for one in batch:
            await self._write_batch((one,))


def _rows(record: Record) -> int:
    """About how many rows a record writes."""
    parts = (record.objects, record.forget, record.milestones, record.events)
    return max(1, (record.status is not None) + sum(len(part) for part in parts))
