"""A small world for the postgres driver's tests: names of its own on a real server, a driver, an administrator."""

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import conninfo, sql

from drivers.postgres.driver import PostgresDriver
from model.names import Owner, Ref, SecretRef
from model.objects import Object, Observed, Seen, Site
from model.plan import Cause, Create, Delete, Update
from model.units import Database

INSTALLATION = "5b0c-test"
_NUMBERS = itertools.count(1)


@dataclass
class World:
    """Everything is named after `release`, which no other test uses."""

    url: str
    admin_url: str = ""
    installation: str = INSTALLATION
    release: str = field(default_factory=lambda: f"t{os.getpid()}-{next(_NUMBERS)}")
    passwords: dict[SecretRef, str] = field(default_factory=dict)
    reveals: int = 0

    def __post_init__(self) -> None:
        self.owner = Owner("deployment", self.release)
        self.driver = self.make_driver()

    def make_driver(self, url: str = "") -> PostgresDriver:
        return PostgresDriver(
            admin_url=url or self.admin_url or self.url, installation=self.installation, reveal=self.reveal
        )

    async def reveal(self, reference: SecretRef) -> str:
        self.reveals += 1
        return self.passwords.setdefault(reference, f"plain-{reference.name}-{reference.version}-{self.release}")

    @property
    def unit(self) -> Database:
        return self.database()

    def database(self, version: int = 1) -> Database:
        return Database(
            name="database",
            component="database",
            database=self.release,
            owner=self.owner_role,
            owner_password=SecretRef(str(self.owner), "database-owner", version),
            user=self.release,
            user_password=SecretRef(str(self.owner), "database-user", version),
            retain=True,
        )

    @property
    def owner_role(self) -> str:
        return f"{self.release}-owner"

    @property
    def site(self) -> Site:
        return Site(
            installation=self.installation,
            cluster="local",
            owner=self.owner,
            release=self.release,
            root="/nowhere",
        )

    def objects(self, version: int = 1) -> tuple[Object, ...]:
        return self.driver.translate(self.database(version), self.site)

    @property
    def refs(self) -> frozenset[Ref]:
        return frozenset(one.ref for one in self.objects())

    def create(self, wanted: Object) -> Create:
        return Create(object=wanted, cause=Cause.GENERATION, why="asked")

    async def put(self, *, version: int = 1) -> None:
        for one in self.objects(version):
            await self.driver.apply(self.owner, self.create(one))

    async def repair(self) -> None:
        """What a pass does about drift and absence, in what it can see."""
        observed = await self.observe()
        seen = observed.seen
        for one in self.objects():
            if one.ref.kind in observed.blind:
                continue
            found = seen.get(one.ref)
            if found is None:
                await self.driver.apply(self.owner, Create(object=one, cause=Cause.DRIFT, why="gone"))
            elif found.digest != one.digest or found.drift:
                action = Update(object=one, cause=Cause.DRIFT, why="drift", uid=found.uid)
                await self.driver.apply(self.owner, action)

    async def delete(self, ref: Ref, uid: str) -> str:
        action = Delete(ref=ref, unit="database", cause=Cause.GENERATION, why="asked", uid=uid)
        return (await self.driver.apply(self.owner, action)).uid

    async def delete_all(self) -> None:
        for ref, one in sorted((await self.observe()).seen.items()):
            await self.delete(ref, one.uid)

    async def observe(self) -> Observed:
        return await self.driver.observe(self.owner, self.refs)

    async def see(self, kind: str, name: str = "") -> Seen:
        return (await self.observe()).seen[Ref(kind, name or self.release)]

    async def drift(self) -> list[str]:
        observed = await self.observe()
        assert not observed.blind, observed.blind
        return [drift.what for _, seen in sorted(observed.seen.items()) for drift in seen.drift]

    def do(self, statement: str, *, database: str = "", **values: Any) -> list[tuple[Any, ...]]:
        """A statement of the administrator's; {db}, {owner}, {user} are our names."""
        url = self.url_of(database) if database else self.url
        with psycopg.connect(url, autocommit=True) as connection:
            return self._run(connection, statement, values)

    def inside(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """A statement of the administrator's inside our database."""
        return self.do(statement, database=self.release, **values)

    @contextlib.contextmanager
    def logged_in(self, *, as_owner: bool = False, version: int = 1) -> Iterator[psycopg.Connection]:
        """A session of one of our roles in our database, by its real password."""
        unit = self.database(version)
        role, ref = (unit.owner, unit.owner_password) if as_owner else (unit.user, unit.user_password)
        url = self.url_of(self.release, user=role, password=self.passwords[ref])
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection

    async def drop(self) -> None:
        """An administrator drops our database; the driver lives on meanwhile, and makes way."""
        await asyncio.to_thread(self.do, "DROP DATABASE {db}")

    def sessions(self) -> list[int]:
        """The driver's sessions inside our database."""
        found = self.do(
            "SELECT pid FROM pg_stat_activity WHERE datname = %(d)s AND application_name = 'armillary-databases'",
            d=self.release,
        )
        return [pid for (pid,) in found]

    def end_sessions(self) -> None:
        """End every session of the driver's."""
        self.do(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'armillary-databases'"
        )

    def url_of(self, database: str, **more: str) -> str:
        return conninfo.make_conninfo(self.url, dbname=database, **more)

    def _run(
        self, connection: psycopg.Connection, statement: str, values: dict[str, Any]
    ) -> list[tuple[Any, ...]]:
        names = {"db": self.release, "user": self.release, "owner": self.owner_role}
        made = sql.SQL(statement).format(**{key: sql.Identifier(name) for key, name in names.items()})
        cursor = connection.execute(made, values or None)
        return cursor.fetchall() if cursor.description is not None else []

    def clean(self) -> None:
        """Remove whatever carries our names, marked or not."""
        found = self.do(
            "SELECT rolname FROM pg_roles WHERE rolname IN (%(u)s, %(o)s)", u=self.release, o=self.owner_role
        )
        self.do("ALTER DATABASE {db} WITH IS_TEMPLATE false") if self._exists() else None
        self.do("DROP DATABASE IF EXISTS {db} WITH (FORCE)")
        for (role,) in found:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(role)))
                connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(role)))

    def _exists(self) -> bool:
        return bool(self.do("SELECT FROM pg_database WHERE datname = %(d)s", d=self.release))
