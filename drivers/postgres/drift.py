"""Drift: what is no longer as it was applied, as sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from drivers.postgres.catalog import DatabaseRow, RoleRow
from drivers.postgres.inside import Inside
from drivers.postgres.mark import Mark

_NEVER = ("superuser", "createrole", "createdb", "replication", "bypassrls")


def role_drift(row: RoleRow, mark: Mark) -> tuple[str, ...]:
    """How a role differs from one that may log in and nothing else."""
    return tuple(_role(row, mark))


def _role(row: RoleRow, mark: Mark) -> Iterator[str]:
    name = f"role {row.name!r}"
    for attribute in _NEVER:
        if getattr(row, attribute):
            yield f"{name} was given {attribute.upper()}"
    if not row.login:
        yield f"{name} may not log in"
    if not row.inherit:
        yield f"{name} does not inherit"
    if row.connection_limit != -1:
        yield f"{name} is limited to {row.connection_limit} connections"
    if row.expires:
        yield f"the password of {name} was given an end"
    for group in sorted({group for group, _ in row.memberships}):
        yield f"{name} was made a member of {group!r}"
    if row.is_password_readable and row.password_hash != mark.about.get("password_hash"):
        yield f"the password of {name} was changed"


def database_drift(row: DatabaseRow, about: Mapping[str, str]) -> tuple[str, ...]:
    """How a database differs from what was applied, its privileges aside."""
    return tuple(_database(row, about))


def _database(row: DatabaseRow, about: Mapping[str, str]) -> Iterator[str]:
    name = f"database {row.name!r}"
    if row.owner != about.get("owner"):
        yield f"{name} belongs to {row.owner!r}, not to {about.get('owner')!r}"
    if not row.allow_connections:
        yield f"{name} allows no connections"
    if row.is_half_dropped:
        yield f"{name} was half dropped: its data is gone"
    elif row.connection_limit != -1:
        yield f"{name} is limited to {row.connection_limit} connections"
    if row.is_template:
        yield f"{name} was made a template"


def access_drift(row: DatabaseRow, about: Mapping[str, str]) -> tuple[str, ...]:
    """Who may do what with a database and should not, or the reverse."""
    return tuple(_access(row, about))


def _access(row: DatabaseRow, about: Mapping[str, str]) -> Iterator[str]:
    wanted = {(about.get("owner"), "CONNECT"), (about.get("owner"), "CREATE"), (about.get("owner"), "TEMPORARY")}
    wanted.add((about.get("user"), "CONNECT"))
    held = {(grantee, privilege) for grantee, privilege in row.privileges if grantee != row.admin}
    for grantee, privilege in sorted(held - wanted):
        yield f"{grantee} was granted {privilege} on database {row.name!r}"
    for role, privilege in sorted((str(role), privilege) for role, privilege in wanted - held):
        yield f"{role} lacks {privilege} on database {row.name!r}"


def inside_drift(inside: Inside, database: str, about: Mapping[str, str]) -> tuple[str, ...]:
    """How schema public differs from what was granted."""
    return tuple(_inside(inside, database, about))


def _inside(inside: Inside, database: str, about: Mapping[str, str]) -> Iterator[str]:
    owner, user = about.get("owner"), about.get("user")
    if inside.schema_owner != owner:
        yield f"schema public of {database!r} belongs to {inside.schema_owner!r}, not to {owner!r}"
    if inside.strangers:
        yield f"{_some(inside.strangers)} in {database!r} not owned by {owner!r}"
    if not inside.may_use:
        yield f"{user} may not use schema public of {database!r}"
    if inside.may_create:
        yield f"{user} may create in schema public of {database!r}"
    if inside.closed_tables:
        yield f"{user} may not read and write {_some(inside.closed_tables)} of {database!r}"
    if inside.closed_sequences:
        yield f"{user} may not use {_some(inside.closed_sequences)} of {database!r}"
    if not inside.has_defaults:
        yield f"new tables of {owner} in {database!r} will not be open to {user}"


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
