"""Leases: who may act on a cluster, by a row with an epoch.

Taken and renewed by one UPDATE under the database's clock. The holder measures on its own monotonic clock,
from before it asked, and stops a margin before the lease could have ended: two clocks are never compared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from state.database import Database

TTL_SECONDS = 15.0
RENEW_SECONDS = 4.0
MARGIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease held. `epoch` goes with every write; `ends_at` is monotonic time, after which to act no more."""

    name: str
    holder: str
    epoch: int
    ends_at: float

    def is_held(self, now: float) -> bool:
        """True while acting under it is safe; `now` is of the clock of `ends_at`."""
        return now < self.ends_at


@dataclass(frozen=True, slots=True)
class Leases:
    """The rows of `core.leases`."""

    database: Database
    ttl_seconds: float = TTL_SECONDS

    async def acquire(self, name: str, holder: str) -> Lease | None:
        """The lease with a new epoch, or None while somebody else holds it. Raises Unreachable."""
        asked_at = time.monotonic()
        epoch = await self.database.write_value(
            "SELECT core.acquire_lease(%(name)s, %(holder)s, make_interval(secs => %(ttl)s))",
            {"name": name, "holder": holder, "ttl": self.ttl_seconds},
        )
        return None if epoch is None else self._held(name, holder, epoch, asked_at)

    async def renew(self, lease: Lease) -> Lease | None:
        """The same lease for longer, or None when it was lost. Unreachable: it runs on until its end."""
        asked_at = time.monotonic()
        renewed = await self.database.write_value(
            "SELECT core.renew_lease(%(name)s, %(holder)s, %(epoch)s, make_interval(secs => %(ttl)s))",
            {"name": lease.name, "holder": lease.holder, "epoch": lease.epoch, "ttl": self.ttl_seconds},
        )
        return self._held(lease.name, lease.holder, lease.epoch, asked_at) if renewed else None

    async def release(self, lease: Lease) -> None:
        """Give it back at once, so that the next holder need not wait. Nothing happens when it was lost."""
        await self.database.write_value(
            "SELECT core.release_lease(%(name)s, %(holder)s, %(epoch)s)",
            {"name": lease.name, "holder": lease.holder, "epoch": lease.epoch},
        )

    def _held(self, name: str, holder: str, epoch: int, asked_at: float) -> Lease:
        ends_at = asked_at + self.ttl_seconds - MARGIN_SECONDS
        return Lease(name=name, holder=holder, epoch=epoch, ends_at=ends_at)
