"""The postgres driver: databases of deployments on one server, told by an administrator's URL.

Its role is a superuser, or one with CREATEROLE and CREATEDB (PostgreSQL 15 or newer). Such a role cannot read
how passwords are stored, so a password changed behind our back is drift that only a superuser's URL shows.

Nothing in PostgreSQL tells of changed roles and databases, so `watch` asks for a hash of the catalog's rows each
five seconds. Privileges inside databases are looked at by passes only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from drivers.base import Applied, DriverError, Reveal, Unavailable
from drivers.postgres import translate as pure
from drivers.postgres.act import Hands
from drivers.postgres.catalog import Catalog, DatabaseRow, RoleRow, fingerprint, read
from drivers.postgres.see import see_databases, see_foreign, see_grants, see_roles
from drivers.postgres.server import Server
from drivers.postgres.whose import Claim, by_owner
from model.names import Kind, Owner, Ref
from model.objects import Object, Observed, Site
from model.plan import Action, Create, Delete, Replace, Stop, Update
from model.units import AnyUnit

_WATCH_SECONDS = 5.0

_Rows = Mapping[Owner, list[RoleRow | DatabaseRow]]


class PostgresDriver:
    """Databases on the server at `admin_url`. Raises ValueError for a URL that cannot be read."""

    cluster = ""
    kinds: frozenset[Kind] = pure.KINDS
    units: frozenset[type[AnyUnit]] = pure.UNITS

    def __init__(self, *, admin_url: str, installation: str, reveal: Reveal) -> None:
        self._installation = installation
        self._server = Server(admin_url)
        self._hands = Hands(server=self._server, reveal=reveal)
        self._closing = asyncio.Event()
        self._hash = ""
        self._rows: _Rows = {}

    async def open(self) -> None:
        """Connect, and remember what there is, so that changes from now on are news. Raises Unavailable."""
        await self._changed()

    async def close(self) -> None:
        """End watching and let go of the connection."""
        self._closing.set()
        await self._server.close()

    def translate(self, unit: AnyUnit, site: Site) -> tuple[Object, ...]:
        """Two roles, the database, its grants, in the order of making. Raises Refused."""
        return pure.translate(unit, site)

    async def observe(
        self,
        owner: Owner,
        wanted: frozenset[Ref],
        *,
        fresh: bool = False,  # noqa: ARG002 - nothing is ever cached
    ) -> Observed:
        """Everything of the owner's. An unreachable server makes all kinds blind, a database only its grants."""
        claim = Claim(installation=self._installation, owner=owner)
        try:
            catalog = await self._read(str(owner), wanted)
        except DriverError as error:
            return Observed(blind=dict.fromkeys(self.kinds, str(error)))
        seen = see_roles(catalog, claim) | see_databases(catalog, claim)
        foreign = see_foreign(wanted, catalog, claim, self._server.where)
        try:
            seen |= await see_grants(self._server, catalog, claim)
        except DriverError as error:
            return Observed(seen=seen, foreign=foreign, blind={pure.GRANT: str(error)})
        return Observed(seen=seen, foreign=foreign)

    async def apply(self, owner: Owner, action: Action) -> Applied:
        """Carry out one action. Raises Unavailable, Refused, Conflict."""
        claim = Claim(installation=self._installation, owner=owner)
        match action:
            case Create() | Update() | Replace():
                return await self._hands.put(action, claim)
            case Delete():
                return await self._hands.delete(action, claim)
            case Stop():
                return Applied(uid=action.uid)  # nothing of a database runs on its own

    async def owners(self) -> frozenset[Owner]:
        """Every owner that a role or database is marked with. Raises Unavailable."""
        return frozenset(by_owner(await self._read(self._installation), self._installation))

    async def watch(self) -> AsyncIterator[Owner]:
        """Owners whose roles or databases changed; after an outage, all. Raises Unavailable."""
        while not self._closing.is_set():
            for owner in await self._changed():
                yield owner
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._closing.wait()

    async def _read(self, needle: str, wanted: frozenset[Ref] = frozenset()) -> Catalog:
        async with self._server.looking() as connection:
            return await read(connection, needle=f'"{needle}"', wanted=wanted)

    async def _changed(self) -> frozenset[Owner]:
        """Owners whose rows are not what they were at the last call."""
        before = self._rows
        try:
            async with self._server.looking() as connection:
                latest = await fingerprint(connection, needle=f'"{self._installation}"')
            if latest == self._hash:
                return frozenset()
            self._rows = by_owner(await self._read(self._installation), self._installation)
        except Unavailable:
            self._hash, self._rows = "", {}  # nobody knows what happened meanwhile: afterwards all are news
            raise
        self._hash = latest
        owners = before.keys() | self._rows.keys()
        return frozenset(owner for owner in owners if before.get(owner) != self._rows.get(owner))
