"""From a Database unit to its objects: two roles, the database, its grants. Pure.

The order of the objects is the order in which they must be made: a database has an owner from its first moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.base import Refused
from model.digest import digest
from model.names import Kind, Ref, SecretRef
from model.objects import Object, Site
from model.units import AnyUnit, Database

ROLE: Kind = "Role"
DATABASE: Kind = "Database"
GRANT: Kind = "Grant"
KINDS: frozenset[Kind] = frozenset({ROLE, DATABASE, GRANT})
UNITS: frozenset[type[AnyUnit]] = frozenset({Database})

_NAME_BYTES_MAX = 63  # PostgreSQL cuts longer names off silently, and two could then be one
_RESERVED = frozenset({"postgres", "template0", "template1", "public", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleBody:
    """A role that may log in and do nothing else; `database` is where it has privileges."""

    name: str
    password: SecretRef
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseBody:
    """A database and the role that owns it."""

    name: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantBody:
    """Who may do what inside a database: `owner` everything, `user` rows and sequences, others nothing."""

    database: str
    owner: str
    user: str


Body = RoleBody | DatabaseBody | GrantBody


def translate(unit: AnyUnit, site: Site) -> tuple[Object, ...]:
    """The four objects of a Database unit. Raises Refused for names that PostgreSQL cannot hold."""
    if not isinstance(unit, Database):
        raise Refused(
            f"the postgres driver cannot make a {type(unit).__name__} ({unit.name}); another driver must"
        )
    for name in (unit.owner, unit.user, unit.database):
        _require_usable(name, site)
    if unit.owner == unit.user:
        raise Refused(f"the database of {site.release} needs two roles, and both are named {unit.owner!r}")
    return (
        _object(
            ROLE, unit.owner, unit, RoleBody(name=unit.owner, password=unit.owner_password, database=unit.database)
        ),
        _object(
            ROLE, unit.user, unit, RoleBody(name=unit.user, password=unit.user_password, database=unit.database)
        ),
        _object(DATABASE, unit.database, unit, DatabaseBody(name=unit.database, owner=unit.owner)),
        _object(GRANT, unit.database, unit, GrantBody(database=unit.database, owner=unit.owner, user=unit.user)),
    )


def _require_usable(name: str, site: Site) -> None:
    if not name or "\0" in name or len(name.encode()) > _NAME_BYTES_MAX:
        raise Refused(f"{name!r} cannot name a role or database of {site.release}: 1 to {_NAME_BYTES_MAX} bytes")
    if name.startswith("pg_") or name in _RESERVED:
        raise Refused(f"{name!r} cannot name a role or database of {site.release}: PostgreSQL reserves that name")


def _object(kind: Kind, name: str, unit: Database, body: Body) -> Object:
    # nothing here is ever replaced: roles and grants are changed in place, and a database holds data
    return Object(
        ref=Ref(kind, name),
        unit=unit.name,
        digest=digest(kind, body),
        retain=unit.retain,
        irreplaceable=kind == DATABASE,
        body=body,
    )
