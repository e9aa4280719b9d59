"""Acting: one action on one object. Looks first, and writes only what differs from what is there.

The mark with the digest is written with the last statement of each write, so whatever cuts a write off leaves
something that the next pass sees as absent or unfinished, never as done.
"""

from __future__ import annotations

from dataclasses import dataclass

from drivers.base import Applied, Conflict, Refused, Reveal, Unavailable
from drivers.postgres import databases, grants, roles
from drivers.postgres.catalog import Catalog, DatabaseRow, RoleRow, read
from drivers.postgres.connection import Connection
from drivers.postgres.drift import database_drift, role_drift
from drivers.postgres.inside import read_comment
from drivers.postgres.mark import parse
from drivers.postgres.see import see_grant
from drivers.postgres.server import Server
from drivers.postgres.translate import DATABASE, GRANT, ROLE, DatabaseBody, GrantBody, RoleBody
from drivers.postgres.whose import Claim, mark_of_database, mark_of_role, stranger
from model.names import Ref
from model.objects import Object
from model.plan import Create, Delete, Replace, Update

Put = Create | Update | Replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What an action finds: a connection, and a look at the places that concern it."""

    connection: Connection
    catalog: Catalog
    claim: Claim

    def row(self, ref: Ref) -> RoleRow | DatabaseRow | None:
        """The row in an object's place, whosever it is."""
        return self.catalog.roles.get(ref.name) if ref.kind == ROLE else self.catalog.databases.get(ref.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What acting needs."""

    server: Server
    reveal: Reveal

    async def put(self, action: Put, claim: Claim) -> Applied:
        """Make or change one object. Raises Unavailable, Refused, Conflict."""
        wanted = action.object
        body: RoleBody | DatabaseBody | GrantBody = wanted.body
        async with self.server.inside(None) as connection:
            scene = await _scene(connection, {wanted.ref, *_beside(body)}, claim)
            self._require_ours(wanted.ref, scene, "" if isinstance(action, Create) else action.uid)
            match body:
                case RoleBody():
                    await self._role(wanted, body, scene)
                case DatabaseBody():
                    await self._database(action, body, scene)
                case GrantBody():
                    await self._grant(wanted, body, scene)
            row = scene.row(wanted.ref) or (await _scene(connection, {wanted.ref}, claim)).row(wanted.ref)
        if row is None:
            raise Unavailable(f"{wanted.ref} was dropped by somebody just after it was made")
        return Applied(uid=row.uid)

    async def delete(self, action: Delete, claim: Claim) -> Applied:
        """Remove one object. Raises Unavailable while somebody else uses it, Refused, Conflict."""
        async with self.server.inside(None) as connection:
            scene = await _scene(connection, {action.ref}, claim)
            row = scene.row(action.ref)
            if row is None:
                return Applied()
            self._require_ours(action.ref, scene, action.uid)
            if not action.uid:
                raise Conflict(f"{action.ref} cannot be deleted without saying which one was seen (its uid)")
            if isinstance(row, RoleRow):
                await roles.delete_role(self.server, connection, row, _home_of(row, scene))
            elif action.ref.kind == DATABASE:
                await self.server.leave(row.name)
                await databases.delete_database(connection, row, _guests_of(row, scene))
            else:
                await self._delete_grant(row, scene)
        return Applied()

    def _require_ours(self, ref: Ref, scene: Scene, uid: str) -> None:
        sentence = stranger(ref, scene.catalog, scene.claim, self.server.where)
        if sentence:
            raise Conflict(sentence)
        row = scene.row(ref)
        if row is not None and uid and row.uid != uid:
            raise Conflict(f"{ref} is not the object that was seen; another was made in its place")

    async def _role(self, wanted: Object, body: RoleBody, scene: Scene) -> None:
        row = scene.catalog.roles.get(body.name)
        mark = None if row is None else mark_of_role(row, scene.claim)
        if row is not None and mark is not None and mark.digest == wanted.digest and not role_drift(row, mark):
            return
        secret = roles.verifier(scene.connection, body.name, await self.reveal(body.password))
        if row is None and body.database in scene.catalog.databases:
            await roles.end_left_over_sessions(scene.connection, body.database)
        about = {"database": body.database, "password_hash": roles.hash_of(secret)}
        await roles.put_role(
            scene.connection, body.name, row, secret, scene.claim.mark(wanted.ref, wanted.digest, about)
        )

    async def _database(self, action: Put, body: DatabaseBody, scene: Scene) -> None:
        self._require_role(body.owner, scene)
        wanted, row = action.object, scene.catalog.databases.get(body.name)
        if row is None and not isinstance(action, Create):
            raise Conflict(f"{wanted.ref} is gone since it was seen; it held data and is not made anew unasked")
        if isinstance(action, Replace) or (row is not None and row.is_half_dropped):
            raise Refused(f"{wanted.ref} holds data and is never replaced; restore it from a backup or drop it")
        mark = None if row is None else mark_of_database(row, scene.catalog, scene.claim)
        is_same = row is not None and mark is not None and mark.digest == wanted.digest
        if row is not None and mark is not None and is_same and not database_drift(row, mark.about):
            return
        about = {"owner": body.owner}
        await databases.put_database(
            scene.connection, body, row, scene.claim.mark(wanted.ref, wanted.digest, about)
        )

    async def _grant(self, wanted: Object, body: GrantBody, scene: Scene) -> None:
        for role in (body.owner, body.user):
            self._require_role(role, scene)
        row = scene.catalog.databases.get(body.database)
        if row is None:
            raise Unavailable(f"database {body.database!r} is not there yet; it comes before its grants")
        if row.is_open:
            seen = await see_grant(self.server, row, scene.claim)
            if seen is not None and seen.digest == wanted.digest and not seen.drift:
                return
        about = {"owner": body.owner, "user": body.user}
        mark = scene.claim.mark(wanted.ref, wanted.digest, about)
        await grants.put_grant(self.server, scene.connection, body, row, mark)

    def _require_role(self, name: str, scene: Scene) -> None:
        ref = Ref(ROLE, name)
        if scene.row(ref) is None:
            raise Unavailable(f"role {name!r} is not there yet; it comes before what it may use")
        self._require_ours(ref, scene, "")

    async def _delete_grant(self, row: DatabaseRow, scene: Scene) -> None:
        async with self.server.inside(row.name) as within:
            mark = parse(await read_comment(within))
        if mark is None or not scene.claim.holds(mark, Ref(GRANT, row.name)):
            return
        names = [mark.about.get(role, "") for role in ("owner", "user")]
        catalog = await read(
            scene.connection, needle=str(scene.claim.owner), wanted=[Ref(ROLE, one) for one in names]
        )
        if all(name in catalog.roles for name in names):
            await grants.delete_grant(self.server, row.name, owner=names[0], user=names[1])


async def _scene(connection: Connection, places: set[Ref], claim: Claim) -> Scene:
    catalog = await read(connection, needle=f'"{claim.owner}"', wanted=places)
    return Scene(connection=connection, catalog=catalog, claim=claim)


def _beside(body: RoleBody | DatabaseBody | GrantBody) -> set[Ref]:
    """The other places that matter to a write."""
    match body:
        case RoleBody():
            return set()
        case DatabaseBody(owner=owner):
            return {Ref(ROLE, owner)}
        case GrantBody(owner=owner, user=user):
            return {Ref(ROLE, owner), Ref(ROLE, user)}


def _home_of(row: RoleRow, scene: Scene) -> DatabaseRow | None:
    """The database in which a role of ours has privileges, if that is still there and ours."""
    mark = mark_of_role(row, scene.claim)
    home = scene.catalog.databases.get(mark.about.get("database", "")) if mark else None
    ours = home is not None and mark_of_database(home, scene.catalog, scene.claim) is not None
    return home if ours else None


def _guests_of(row: DatabaseRow, scene: Scene) -> tuple[str, ...]:
    """Our own roles that use a database: their sessions may be ended."""
    marks = ((name, mark_of_role(one, scene.claim)) for name, one in scene.catalog.roles.items())
    return tuple(sorted(name for name, mark in marks if mark and mark.about.get("database") == row.name))
