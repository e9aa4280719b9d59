"""The watermark: is the state database behind the clusters? Then it was restored, and nothing may be changed.

Each cluster keeps a stamp of the lease's epoch and of the newest change that was acted upon. A database that does
not know that change tells of a past in which deployments made since do not exist; acting on it would undo or
delete them. So all is held, and said, until a person takes over, which lifts the database's epochs out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from drivers.base import DriverError, Stamp, SupportsStamp
from model.names import Moment
from reconciler.leadership import Term
from reconciler.ledger import TAKEOVER_EPOCHS
from reconciler.parts import Parts

log = structlog.get_logger()

INTERVAL_SECONDS = 4.0
"""Between looks at the newest change. So much may be missed when a database is restored right after a change."""

_OTHERS_SECONDS = 2.0

_UNVERIFIED = "Whether the state database is behind this cluster could not be seen so far; nothing is changed."


@dataclass(slots=True, kw_only=True)
class _Mark:
    """One cluster's stamp: in which term it was tried to be, and was, compared; what was last written."""

    cluster: SupportsStamp
    tried: Term | None = None
    verified: Term | None = None
    written: Stamp | None = None
    why: str = ""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Watermark:
    """Compares the database with the stamps of its clusters, and moves them on.

    `newest` tells the newest change that any pass has seen: while it is the one that was stamped, nothing has to
    be asked.
    """

    def __init__(self, parts: Parts, newest: Callable[[], Moment]) -> None:
        self._parts = parts
        self._newest = newest
        self._marks = {name: _Mark(cluster=cluster) for name, cluster in sorted(parts.stamps.items())}
        self._not_readable: tuple[type[Exception], ...] = (DriverError, TimeoutError, *parts.store_errors)

    def hold(self, cluster: str) -> str:
        """Why nothing may be changed in a cluster now, as a sentence; empty when it may."""
        why = next((one.why for one in self._marks.values() if one.why), "")
        mark = self._marks.get(cluster)
        if why or mark is None:
            return why
        return "" if mark.verified == self._parts.leadership.term else _UNVERIFIED

    async def verified(self, cluster: str, term: Term) -> None:
        """Return when a cluster was compared in this term, or could not be; then `hold` tells.

        The others are given a moment too: what any of them remembers is a reason to hold everywhere.
        """
        if all(mark.tried == term for mark in self._marks.values()):
            return
        looks = {name: asyncio.ensure_future(self._try(mark, term)) for name, mark in self._marks.items()}
        others = [look for name, look in looks.items() if name != cluster]
        try:
            if others:
                await asyncio.wait(others, timeout=_OTHERS_SECONDS)
            if cluster in looks:
                await looks[cluster]
        finally:
            for look in looks.values():
                look.cancel()
            await asyncio.gather(*looks.values(), return_exceptions=True)

    async def _try(self, mark: _Mark, term: Term) -> None:
        async with mark.turn:
            if mark.tried != term:
                await self._look(mark, term)

    async def keep(self) -> None:
        """Move the stamps on with the changes, and compare again what could not be, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            term = self._parts.leadership.term
            if term is not None:
                marks = [mark for mark in self._marks.values() if not self._is_up_to_date(mark, term)]
                await asyncio.gather(*(self._look(mark, term) for mark in marks))

    def _is_up_to_date(self, mark: _Mark, term: Term) -> bool:
        written = mark.written
        return mark.verified == term and written is not None and written.moment == self._newest()

    async def _look(self, mark: _Mark, term: Term) -> None:
        """Compare a cluster, or move its stamp on. What cannot be read now is compared the next time."""
        try:
            async with asyncio.timeout(self._parts.tools.limits.observe_seconds_max):
                moment = await self._parts.index.moment()
                now = Stamp(installation=self._parts.installation, epoch=term.epoch, moment=moment)
                if now != mark.written or mark.verified != term:
                    await self._compare(mark, now)
                    mark.verified = term
        except self._not_readable as error:
            log.warning("stamp not compared", why=str(error) or type(error).__name__)
        finally:
            mark.tried = term

    async def _compare(self, mark: _Mark, now: Stamp) -> None:
        stamp = await mark.cluster.read_stamp()
        if stamp is not None and not await self._continues(stamp, now):
            _hold(mark, stamp)
        else:
            await mark.cluster.write_stamp(now)
            mark.written, mark.why = now, ""

    async def _continues(self, stamp: Stamp, now: Stamp) -> bool:
        """True when this database's history holds what the cluster remembers, or a person took over since."""
        if now.epoch >= stamp.epoch + TAKEOVER_EPOCHS // 2:
            return True
        is_ours = stamp.installation == now.installation and now.epoch >= stamp.epoch
        return is_ours and await self._parts.index.knows(stamp.moment)


def _hold(mark: _Mark, stamp: Stamp) -> None:
    why = (
        f"The state database does not know change {stamp.moment.number} (lease {stamp.epoch}), which this cluster "
        f"was brought to by installation {stamp.installation}: it is another one, or was restored from a backup. "
        "Nothing is changed. Look at what is missing, then take over with: "
        "SELECT armillary.takeover('<reason>')."
    )
    if why != mark.why:
        log.error("state database is behind its cluster", why=why)
    mark.why, mark.written = why, None
