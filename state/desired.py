"""Desired state as documents: what the API asks and writes.

Thin on purpose: SQL functions validate, guard, audit and count generations, so that the API and an administrator
in psql get the same answers. Who acts is set for the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg.types.json import Jsonb

from model.names import Owner
from state.database import Database
from state.errors import NotFound
from state.pool import Connection

Document = dict[str, Any]
Layer = tuple[str, str]
"""Whose default variables: `platform` without a name, or a `cluster` or a `workspace` of a name."""

ROWS_MAX = 1000

_STATUSES = """\
SELECT jsonb_build_object(
           'workspace', w.name, 'name', d.name, 'generation', d.generation, 'stage', core.stage_of(d),
           'observed_generation', NULL, 'conditions', '[]'::jsonb, 'units', '[]'::jsonb,
           'attempts', 0, 'next_attempt_at', NULL,
           'addresses', coalesce((
               SELECT jsonb_object_agg(a.name, 'http://127.0.0.1:' || p.number)
                 FROM core.ports p JOIN core.components c ON c.deployment_id = d.id AND c.component = p.unit
                 JOIN (VALUES ('api-server', 'airflow'), ('flower', 'flower')) AS a(unit, name) USING (unit)
                WHERE p.deployment_id = d.id AND p.port = 'http'), '{}'))
       || coalesce(core.status_of(d.owner), '{}')
  FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
 WHERE %(owner)s::text IS NULL OR d.owner = %(owner)s
 ORDER BY w.name, d.name, d.id
"""
_EVENTS_AFTER = """\
SELECT to_jsonb(e) - 'owner' FROM core.events e
 WHERE e.owner = %(owner)s AND e.id > %(after)s ORDER BY e.id LIMIT %(limit)s
"""
_EVENTS_NEWEST = """\
SELECT to_jsonb(e) - 'owner' FROM (
    SELECT * FROM core.events n WHERE n.owner = %(owner)s ORDER BY n.id DESC LIMIT %(limit)s) AS e
 ORDER BY e.id
"""
_REVISIONS = """\
SELECT to_jsonb(r) - 'deployment_id' FROM core.revisions r JOIN core.deployments d ON d.id = r.deployment_id
 WHERE d.owner = %(owner)s AND (%(before)s::bigint IS NULL OR r.revision < %(before)s)
 ORDER BY r.revision DESC LIMIT %(limit)s
"""
_UNWELL = """\
SELECT jsonb_build_object(
           'workspace', w.name, 'name', d.name, 'generation', d.generation, 'stage', core.stage_of(d),
           'hibernated', d.hibernated, 'type', c.type, 'status', c.status, 'reason', c.reason,
           'message', c.message, 'since', coalesce(c.since, d.changed_at), 'emails', core.alert_emails_of(d.id))
  FROM core.deployments d JOIN core.workspaces w ON w.id = d.workspace_id
  LEFT JOIN core.conditions c ON c.owner = d.owner
 WHERE c.status IS DISTINCT FROM 'True' ORDER BY w.name, d.name, d.id, c.type
"""


@dataclass(frozen=True, slots=True)
class Desired:
    """Workspaces and deployments in the store. Raises errors of `state.errors` only."""

    database: Database

    async def list_workspaces(self) -> list[Document]:
        """Every workspace, by name."""
        return await self._documents("SELECT core.list_workspaces()")

    async def get_workspace(self, name: str) -> Document:
        """One workspace. Raises NotFound."""
        return await self._document("SELECT core.get_workspace(%(name)s)", name=name)

    async def put_workspace(
        self, name: str, document: Document, *, actor: str, expected_generation: int | None = None
    ) -> Document:
        """Make a workspace, or make it so. Raises InvalidSpec, GenerationConflict."""
        return await self._write(
            "SELECT core.put_workspace(%(name)s, %(document)s, %(expected)s::bigint)",
            actor,
            name=name,
            document=Jsonb(document),
            expected=expected_generation,
        )

    async def delete_workspace(self, name: str, *, actor: str, expected_generation: int | None = None) -> Document:
        """Remove a workspace that is empty. Raises NotFound, Refused, GenerationConflict."""
        return await self._write(
            "SELECT core.delete_workspace(%(name)s, %(expected)s::bigint)",
            actor,
            name=name,
            expected=expected_generation,
        )

    async def list_deployments(self, workspace: str | None = None) -> list[Document]:
        """Every deployment of a workspace, or of all; also those whose deletion was asked for."""
        return await self._documents("SELECT core.list_deployments(%(workspace)s::text)", workspace=workspace)

    async def list_statuses(self) -> list[Document]:
        """The status of every deployment, in the order of `list_deployments`."""
        return await self._documents(_STATUSES, owner=None)

    async def get_deployment(self, workspace: str, name: str) -> Document:
        """One deployment's complete desired state. Raises NotFound."""
        return await self._document(
            "SELECT core.get_deployment(%(workspace)s, %(name)s)", workspace=workspace, name=name
        )

    async def put_deployment(
        self,
        workspace: str,
        name: str,
        document: Document,
        *,
        actor: str,
        expected_generation: int | None = None,
    ) -> Document:
        """Make a deployment, or make it exactly so; the same document twice changes nothing.

        `expected_generation` 0 means "it must not exist yet". Raises InvalidSpec, GenerationConflict, Refused.
        """
        return await self._write(
            "SELECT core.put_deployment(%(workspace)s, %(name)s, %(document)s, %(expected)s::bigint)",
            actor,
            workspace=workspace,
            name=name,
            document=Jsonb(document),
            expected=expected_generation,
        )

    async def delete_deployment(
        self, workspace: str, name: str, *, actor: str, expected_generation: int | None = None
    ) -> Document:
        """Ask for a deployment's deletion; what it is then. Raises NotFound, GenerationConflict, Refused."""
        return await self._write(
            "SELECT core.delete_deployment(%(workspace)s, %(name)s, %(expected)s::bigint)",
            actor,
            workspace=workspace,
            name=name,
            expected=expected_generation,
        )

    async def roll_back(self, workspace: str, name: str, revision: int, *, actor: str) -> Document:
        """Make an earlier revision the newest generation. Raises NotFound, InvalidSpec, Refused."""
        parameters = {"path": f"{workspace}/{name}", "revision": revision}
        # two statements: a function that only reads sees what was there when its statement began
        await self._act("SELECT armillary.rollback(%(path)s, %(revision)s)", actor, **parameters)
        return await self.get_deployment(workspace, name)

    async def default_variables(self, layer: Layer) -> dict[str, Document]:
        """The default variables of a layer, by key. Raises NotFound."""
        of, name = layer
        found: dict[str, Document] = await self._document(
            "SELECT core.default_variables_of(%(layer)s, %(name)s)", layer=of, name=name
        )
        return found

    async def put_default_variable(self, layer: Layer, key: str, value: str, *, actor: str) -> bool:
        """Make a default variable, or make it so; True when it is new.

        Raises NotFound, InvalidSpec, GenerationConflict when somebody makes it at the same moment.
        """
        of, name = layer
        statement: LiteralString = "SELECT core.put_default_variable(%(layer)s, %(name)s, %(key)s, %(value)s)"
        return bool(await self._act(statement, actor, layer=of, name=name, key=key, value=value))

    async def delete_default_variable(self, layer: Layer, key: str, *, actor: str) -> None:
        """Remove a default variable. Raises NotFound."""
        of, name = layer
        statement: LiteralString = "SELECT core.delete_default_variable(%(layer)s, %(name)s, %(key)s)"
        await self._act(statement, actor, layer=of, name=name, key=key)

    async def alert_emails(self, workspace: str, name: str) -> list[str]:
        """The addresses that a deployment tells when something is wrong, in order. Raises NotFound."""
        found: list[str] = await self.database.read_value(
            "SELECT core.alert_emails_of(core.resolve(%(path)s))", {"path": f"{workspace}/{name}"}
        )
        return found

    async def put_alert_email(self, workspace: str, name: str, email: str, *, actor: str) -> bool:
        """Let a deployment tell an address; True when it did not before.

        Raises NotFound, InvalidSpec, GenerationConflict when somebody does the same at the same moment.
        """
        statement: LiteralString = "SELECT core.put_alert_email(%(path)s, %(email)s)"
        return bool(await self._act(statement, actor, path=f"{workspace}/{name}", email=email))

    async def delete_alert_email(self, workspace: str, name: str, email: str, *, actor: str) -> None:
        """Let a deployment tell an address no more. Raises NotFound."""
        statement: LiteralString = "SELECT core.delete_alert_email(%(path)s, %(email)s)"
        await self._act(statement, actor, path=f"{workspace}/{name}", email=email)

    async def owner(self, workspace: str, name: str) -> Owner:
        """Whom a deployment's units belong to. Raises NotFound."""
        identifier = await self.database.read_value(
            "SELECT core.resolve(%(workspace)s || '/' || %(name)s)", {"workspace": workspace, "name": name}
        )
        return Owner("deployment", str(identifier))

    async def status(self, workspace: str, name: str) -> Document:
        """Our half of a deployment: conditions, units, addresses, what was observed. Raises NotFound."""
        owner = await self.owner(workspace, name)
        for document in await self._documents(_STATUSES, owner=str(owner)):
            return document
        raise NotFound(f"The deployment {workspace}/{name} was removed just now.")

    async def events(
        self, workspace: str, name: str, *, after: int | None = None, limit: int = 100
    ) -> list[Document]:
        """What happened to a deployment, the oldest first: after the event with that id, or the newest.

        Raises NotFound.
        """
        owner = await self.owner(workspace, name)
        statement = _EVENTS_NEWEST if after is None else _EVENTS_AFTER
        return await self._documents(statement, owner=str(owner), after=after, limit=_bounded(limit))

    async def revisions(
        self, workspace: str, name: str, *, before: int | None = None, limit: int = 50
    ) -> list[Document]:
        """Generations of a deployment, each complete, the newest first, below `before`. Raises NotFound."""
        owner = await self.owner(workspace, name)
        return await self._documents(_REVISIONS, owner=str(owner), before=before, limit=_bounded(limit))

    async def secret_version(self, workspace: str, name: str, secret: str) -> int | None:
        """The newest version of one of a deployment's secrets; None when there is none. Raises NotFound."""
        owner = await self.owner(workspace, name)
        version: int | None = await self.database.read_value(
            "SELECT max(version) FROM core.secrets WHERE owner = %(owner)s AND name = %(secret)s",
            {"owner": str(owner), "secret": secret},
        )
        return version

    async def why(self, workspace: str, name: str) -> Document:
        """Why a deployment is as it is: `why`, one sentence, and `lines`, the details. Raises NotFound."""
        status = await self.status(workspace, name)
        lines = await self.database.read(
            "SELECT armillary.why(%(workspace)s || '/' || %(name)s)", {"workspace": workspace, "name": name}
        )
        return {"why": _sentence(status), "lines": [line for (line,) in lines]}

    async def unwell(self) -> list[Document]:
        """Every deployment's condition that is not True, with since; those never looked at have no type."""
        return await self._documents(_UNWELL)

    async def unguarded(self) -> list[Document]:
        """Tables whose triggers are off: relation, triggers, what_to_do."""
        return await self._documents("SELECT to_jsonb(u) FROM armillary.unguarded u ORDER BY u.relation")

    async def note(self, workspace: str, name: str, *, reason: str, message: str) -> None:
        """Add an event to a deployment: something done to it that changes nothing desired. Raises NotFound."""
        owner = await self.owner(workspace, name)
        await self.database.write_value(
            "INSERT INTO core.events (owner, reason, message)"
            " VALUES (%(owner)s, %(reason)s, %(message)s) RETURNING id",
            {"owner": str(owner), "reason": reason, "message": message},
        )

    async def _documents(self, statement: LiteralString, **parameters: Any) -> list[Document]:
        return [document for (document,) in await self.database.read(statement, parameters)]

    async def _document(self, statement: LiteralString, **parameters: Any) -> Document:
        document: Document = await self.database.read_value(statement, parameters)
        return document

    async def _write(self, statement: LiteralString, actor: str, **parameters: Any) -> Document:
        return dict(await self._act(statement, actor, **parameters))

    async def _act(self, statement: LiteralString, actor: str, **parameters: Any) -> Any:
        async def work(connection: Connection) -> Any:
            await connection.execute("SELECT set_config('armillary.actor', %s, true)", (actor,))
            ((answer,),) = await (await connection.execute(statement, parameters)).fetchall()
            return answer

        return await self.database.write(work)


def _bounded(limit: int) -> int:
    return max(1, min(limit, ROWS_MAX))


def _sentence(status: Document) -> str:
    conditions = status["conditions"]
    if not conditions:
        return "It was not looked at yet."
    for condition in conditions:
        if condition["status"] != "True":
            return f"{condition['type']} is {condition['status']} ({condition['reason']}): {condition['message']}"
    if status["observed_generation"] != status["generation"]:
        return f"Generation {status['generation']} was not looked at yet; before it all was well."
    return "It is as asked for, and healthy."
