"""Whose a role or database is: this owner's, nobody's or somebody else's. Pure.

Only the mark counts. One exception: a database without any comment, owned by a role of ours whose mark names
it, is ours and unfinished. CREATE DATABASE cannot be undone by a rollback, so the mark always comes a moment
later; and a restored backup often comes without comments.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.postgres.catalog import Catalog, DatabaseRow, RoleRow
from drivers.postgres.mark import Mark, parse
from drivers.postgres.translate import DATABASE, ROLE
from model.names import Owner, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """In whose name a look is taken."""

    installation: str
    owner: Owner

    def mark(self, ref: Ref, digest: str | None = None, about: dict[str, str] | None = None) -> Mark:
        """A mark of this owner for an object."""
        return Mark(
            installation=self.installation,
            owner=str(self.owner),
            object=str(ref),
            digest=digest,
            about=about or {},
        )

    def holds(self, mark: Mark | None, ref: Ref) -> bool:
        """Whether a mark says that the object is this owner's."""
        return (
            mark is not None
            and mark.is_on(ref)
            and (mark.installation, mark.owner) == (self.installation, str(self.owner))
        )


def mark_of_role(row: RoleRow, claim: Claim) -> Mark | None:
    """The mark of a role of ours; None when it is not ours."""
    mark = parse(row.comment)
    return mark if claim.holds(mark, Ref(ROLE, row.name)) else None


def mark_of_database(row: DatabaseRow, catalog: Catalog, claim: Claim) -> Mark | None:
    """The mark of a database of ours; None when it is not ours."""
    ref = Ref(DATABASE, row.name)
    mark = parse(row.comment)
    if claim.holds(mark, ref):
        return mark
    if row.comment or row.owner not in catalog.roles:
        return None
    role = mark_of_role(catalog.roles[row.owner], claim)
    return claim.mark(ref) if role is not None and role.about.get("database") == row.name else None


def stranger(ref: Ref, catalog: Catalog, claim: Claim, where: str) -> str:
    """A sentence about who stands in an object's place; empty when nobody does, or it is ours."""
    if ref.kind == ROLE:
        role = catalog.roles.get(ref.name)
        if role is None or mark_of_role(role, claim) is not None:
            return ""
        return _sentence("role", ref, role.comment, claim, where)
    database = catalog.databases.get(ref.name)
    if database is None or mark_of_database(database, catalog, claim) is not None:
        return ""
    return _sentence("database", Ref(DATABASE, ref.name), database.comment, claim, where)


def _sentence(word: str, ref: Ref, comment: str | None, claim: Claim, where: str) -> str:
    mark = parse(comment)
    if mark is not None and mark.is_on(ref):
        return (
            f"{word} {ref.name!r} on {where} belongs to {mark.owner} of installation {mark.installation}; "
            f"drop or rename it there"
        )
    return (
        f"{word} {ref.name!r} exists on {where} and carries no mark of this installation. Rename or drop it; or, "
        f"if it is to be {claim.owner}'s, run: "
        f"COMMENT ON {word.upper()} \"{ref.name}\" IS '{claim.mark(ref).comment}'"
    )


def by_owner(catalog: Catalog, installation: str) -> dict[Owner, list[RoleRow | DatabaseRow]]:
    """Every row that carries the installation's mark, by the owner that the mark names."""
    found: dict[Owner, list[RoleRow | DatabaseRow]] = {}
    places: list[tuple[Ref, RoleRow | DatabaseRow]] = [
        *((Ref(ROLE, name), row) for name, row in sorted(catalog.roles.items())),
        *((Ref(DATABASE, name), row) for name, row in sorted(catalog.databases.items())),
    ]
    for ref, row in places:
        mark = parse(row.comment)
        if mark is not None and mark.installation == installation and mark.is_on(ref):
            found.setdefault(Owner.parse(mark.owner), []).append(row)
    return found
