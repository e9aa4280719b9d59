"""Leadership over one cluster: a lease, renewed in time or given up in time.

A lease says itself until when it may be acted upon, measured on this machine's monotonic clock from before it was
asked for, so that a paused or partitioned daemon is quiet before anybody else begins.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from reconciler import clock

log = structlog.get_logger()

RENEW_SECONDS = 4.0
"""Between renewals: three may fail before a lease of 15 s is lost."""
_RETRY_SECONDS = 1.0
_RESIGN_SECONDS = 3.0


class Lease(Protocol):
    """A lease as the store grants it: every write carries its epoch."""

    @property
    def epoch(self) -> int:
        """Grows with every change of holder."""

    def is_held(self, now: float) -> bool:
        """True while acting under it is safe; `now` is monotonic time in seconds."""


class Leases(Protocol):
    """What leadership asks of the store. Each raises when the store cannot be reached."""

    async def acquire(self, name: str, holder: str) -> Any:
        """Take the lease; None while somebody else holds it."""

    async def renew(self, lease: Any) -> Any:
        """The same lease for longer; None when it was lost."""

    async def release(self, lease: Any) -> None:
        """Give the lease up early, so that the next holder need not wait."""


@dataclass(frozen=True, slots=True)
class Term:
    """One time of leading, from when the lease was gained until it was lost.

    `number` never comes again in this process; a restored database may give the same `epoch` twice.
    """

    number: int
    epoch: int


class Leadership:
    """Keeps one lease and says, at any moment, whether it may be acted upon.

    `retry_seconds`: between attempts to get a lease that somebody else holds.
    """

    def __init__(self, leases: Leases, *, name: str, holder: str, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._retry_seconds = retry_seconds
        self._leases = leases
        self._name = name
        self._holder = holder
        self._lease: Lease | None = None
        self._terms = 0
        self._gained = asyncio.Event()

    @property
    def term(self) -> Term | None:
        """The term that may be acted in, or None when nothing may be written now."""
        lease = self._lease
        return Term(self._terms, lease.epoch) if lease is not None and lease.is_held(clock.now()) else None

    @property
    def epoch(self) -> int | None:
        """The epoch to write with, or None when nothing may be written now."""
        term = self.term
        return term.epoch if term is not None else None

    async def wait(self) -> Term:
        """Wait until this daemon leads; the term that it leads in."""
        while (term := self.term) is None:
            self._gained.clear()
            await self._gained.wait()
        return term

    async def keep(self) -> None:
        """Hold on for ever. A failure to ask is not a loss: the lease simply runs out by itself."""
        while True:
            was = self.epoch
            try:
                async with asyncio.timeout(RENEW_SECONDS):
                    self._lease = await self._asked()
            except Exception as error:  # noqa: BLE001 - whatever the store raises, the answer is to ask again
                log.warning("lease not renewed", lease=self._name, why=str(error) or type(error).__name__)
            if self.epoch != was:
                log.info("leadership changed", lease=self._name, holder=self._holder, epoch=self.epoch)
            if self.epoch is not None:
                self._gained.set()
            await asyncio.sleep(RENEW_SECONDS if self.epoch is not None else self._retry_seconds)

    async def _asked(self) -> Lease | None:
        lease: Lease | None
        if self.term is not None:
            lease = await self._leases.renew(self._lease)
        else:
            lease = await self._leases.acquire(self._name, self._holder)
            self._terms += lease is not None
        return lease

    async def resign(self) -> None:
        """Give the lease up on the way down. A store that cannot be told lets it run out."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        try:
            async with asyncio.timeout(_RESIGN_SECONDS):
                await self._leases.release(lease)
        except Exception as error:  # noqa: BLE001 - the way down must not fail for it
            log.warning("lease not released", lease=self._name, why=str(error) or type(error).__name__)
