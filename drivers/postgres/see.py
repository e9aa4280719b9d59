"""Seeing: what the catalog's rows and a look into a database say about one owner's objects. Modifies nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from drivers.postgres.catalog import Catalog, DatabaseRow
from drivers.postgres.drift import access_drift, database_drift, inside_drift, role_drift
from drivers.postgres.inside import read_comment, read_inside
from drivers.postgres.mark import parse
from drivers.postgres.server import Server
from drivers.postgres.translate import DATABASE, GRANT, ROLE
from drivers.postgres.whose import Claim, mark_of_database, mark_of_role, stranger
from model.names import Ref
from model.objects import Drift, Seen


def see_roles(catalog: Catalog, claim: Claim) -> dict[Ref, Seen]:
    """The owner's roles."""
    seen = {}
    for name, row in catalog.roles.items():
        mark = mark_of_role(row, claim)
        if mark is not None:
            drift = role_drift(row, mark) if mark.digest else ()
            seen[Ref(ROLE, name)] = _seen(Ref(ROLE, name), row.uid, mark.digest, drift)
    return seen


def see_databases(catalog: Catalog, claim: Claim) -> dict[Ref, Seen]:
    """The owner's databases, from outside."""
    seen = {}
    for name, row in catalog.databases.items():
        mark = mark_of_database(row, catalog, claim)
        if mark is not None:
            drift = database_drift(row, mark.about) if mark.digest else ()
            seen[Ref(DATABASE, name)] = _seen(Ref(DATABASE, name), row.uid, mark.digest, drift)
    return seen


def see_foreign(wanted: Iterable[Ref], catalog: Catalog, claim: Claim, where: str) -> dict[Ref, str]:
    """Wanted places in which something not the owner's stands."""
    found = {ref: stranger(ref, catalog, claim, where) for ref in sorted(wanted)}
    return {ref: sentence for ref, sentence in found.items() if sentence}


async def see_grants(server: Server, catalog: Catalog, claim: Claim) -> dict[Ref, Seen]:
    """The grants of each database of the owner's. Raises Unavailable, Refused."""
    seen = {}
    for row in catalog.databases.values():
        if mark_of_database(row, catalog, claim) is not None:
            grant = await see_grant(server, row, claim)
            if grant is not None:
                seen[grant.ref] = grant
    return seen


async def see_grant(server: Server, row: DatabaseRow, claim: Claim) -> Seen | None:
    """The grants of one database of the owner's; None when they were never made."""
    ref = Ref(GRANT, row.name)
    if not row.is_open:
        # what was granted inside cannot be told, but that something must be done about it can
        return _seen(ref, row.uid, None, (f"database {row.name!r} lets us not connect",))
    async with server.looking_into(row.name) as within:
        mark = parse(await read_comment(within))
        if mark is None or not claim.holds(mark, ref):
            return None
        inside = await read_inside(within, owner=mark.about.get("owner", ""), user=mark.about.get("user", ""))
    drift = (*access_drift(row, mark.about), *inside_drift(inside, row.name, mark.about))
    return _seen(ref, row.uid, mark.digest, drift)


def _seen(ref: Ref, uid: str, digest: str | None, drift: Sequence[str]) -> Seen:
    return Seen(ref=ref, uid=uid, digest=digest, drift=tuple(Drift(what=what) for what in drift))
