"""Two fleets that are to be the same: one is changed through the real API, the other by statements in psql."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from api.changing import within
from api.context import Context
from reconciler.progress import Progress
from state.database import Database, connect
from state.desired import Desired
from state.keyring import Keyring
from state.secrets import Secrets
from state.tokens import Tokens
from tests.sql.passes import settle
from tests.sql.twins import Seal, Statement, Step, Twin

_EMPTY = """
    SET session_replication_role = replica;
    TRUNCATE core.workspaces, core.releases, core.deployments, core.components, core.variables, core.secrets,
        core.secret_inbox, core.ports, core.revisions, core.audit, core.approvals, core.status, core.conditions,
        core.units, core.objects, core.milestones, core.events, core.leases RESTART IDENTITY CASCADE;
    SET session_replication_role = origin;
"""
# versions are drawn, and would be others in each fleet; whether they are drawn well is asked elsewhere
_COUNT_VERSIONS = """
    CREATE OR REPLACE FUNCTION core.next_version(newest integer) RETURNS integer
    LANGUAGE sql AS 'SELECT newest + 1'
"""
# what was refused took a number in one fleet and not in the other, where it was refused earlier
_ALIGN = """
    SELECT setval(pg_get_serial_sequence('core.workspaces', 'id'), %(number)s),
           setval(pg_get_serial_sequence('core.deployments', 'id'), %(number)s),
           setval(pg_get_serial_sequence('core.default_variables', 'id'), %(number)s)
"""
_DESIRED = {
    "workspaces": "SELECT to_jsonb(w) FROM core.workspaces w ORDER BY id",
    "deployments": """
        SELECT to_jsonb(d) - ARRAY['changed_in', 'changed_at', 'changed_by']
          FROM core.deployments d ORDER BY id""",
    "default variables": "SELECT to_jsonb(v) FROM core.default_variables v ORDER BY id",
    "alert emails": "SELECT to_jsonb(a) FROM core.alert_emails a ORDER BY deployment_id, lower(email)",
    "effective variables": "SELECT to_jsonb(v) FROM armillary.effective_variables v ORDER BY deployment, key",
    "specs": """
        SELECT jsonb_build_array(d.id, core.document(d.id), core.spec_of(d))
          FROM core.deployments d ORDER BY d.id""",
    "revisions": """
        SELECT to_jsonb(r) - ARRAY['actor', 'at'] FROM core.revisions r ORDER BY deployment_id, revision""",
    "audit": """
        SELECT jsonb_agg(row ORDER BY row->>'relation', row->>'key', row->>'operation', row::text) FROM (
            SELECT a.id, a.transaction, to_jsonb(a)
                   - ARRAY['id', 'at', 'transaction', 'session_role', 'actor', 'actor_is_claimed'] AS row
              FROM core.audit a WHERE a.relation NOT IN ('tokens', 'secrets')) AS rows
         GROUP BY transaction ORDER BY min(id)""",
    "inbox": """
        SELECT to_jsonb(i) - ARRAY['id', 'actor', 'written_at'] FROM core.secret_inbox i
         ORDER BY owner, name, version""",
    "secrets": "SELECT jsonb_build_array(owner, name, version) FROM core.secrets ORDER BY owner, name, version",
    "ports": "SELECT to_jsonb(p) FROM core.ports p ORDER BY deployment_id, number",
    "releases": "SELECT to_jsonb(release) FROM core.releases ORDER BY release",
}
_OBSERVED = {
    "status": "SELECT to_jsonb(s) FROM core.status s ORDER BY owner",
    "conditions": "SELECT to_jsonb(c) - 'since' FROM core.conditions c ORDER BY owner, type",
    "units": "SELECT to_jsonb(u) FROM core.units u ORDER BY owner, position",
    "objects": "SELECT to_jsonb(o) FROM core.objects o ORDER BY owner, kind, name",
    "milestones": "SELECT to_jsonb(m) - 'at' FROM core.milestones m ORDER BY owner, name",
    "events": "SELECT to_jsonb(e) - ARRAY['id', 'at'] FROM core.events e ORDER BY e.owner, e.id",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|\+00|Z| UTC)?")
_NEAR = timedelta(days=60)
_GRAIN_SECONDS = 900.0  # of a deletion's times; a sequence takes some seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a change: done (`rows`: how many it met; None: unknown), or refused by a rule in some words."""

    rows: int | None = None
    rule: str = ""
    message: str = ""
    pointer: str = ""
    code: str = ""

    @property
    def is_done(self) -> bool:
        return not self.code


class _NoEngine:
    """A daemon that does nothing, for routes that are not asked here."""

    def progress(self) -> Progress:
        return Progress(started_at=datetime.now(UTC), listening=True, leading=True)


class Fleets:
    """Both fleets, each in a database of its own. Belongs to one event loop, which it runs itself."""

    def __init__(self, by_http: str, by_sql: str) -> None:
        self.urls = (by_http, by_sql)
        self.runner = asyncio.Runner()
        self.keyring = Keyring.in_memory()
        self._owners = [psycopg.connect(url, autocommit=True, options="-c timezone=UTC") for url in self.urls]
        for one in self._owners:
            one.execute(_COUNT_VERSIONS)
        self._admin = psycopg.connect(by_sql, options="-c role=armillary_admin -c timezone=UTC")
        self.databases: tuple[Database, ...] = ()
        self.runner.run(self._open())
        self._began = datetime.now(UTC)
        self._number = 0
        self.met: Counter[str] = Counter()

    async def _open(self) -> None:
        self.databases = tuple([await connect(url, application_name="armillary test") for url in self.urls])
        url = self.urls[0] + ("&" if "?" in self.urls[0] else "?") + "options=-c%20role%3Darmillary_api"
        api = await connect(url, application_name="armillary api")
        self._api = api
        tokens = Tokens(api)
        context = Context(
            desired=Desired(api),
            tokens=tokens,
            engine=_NoEngine(),  # type: ignore[arg-type]
            reveal=Secrets(api, self.keyring).reveal,
            logs=lambda _release: {},
            usage=lambda _release: {},
        )
        self._client = TestClient(TestServer(create_app(context)))
        await self._client.start_server()
        self._token = await tokens.create("ann")

    def close(self) -> None:
        self.runner.run(self._close())
        self.runner.close()
        for one in (*self._owners, self._admin):
            one.close()

    async def _close(self) -> None:
        await self._client.close()
        for one in (self._api, *self.databases):
            await one.close()

    # Changing both.

    def begin(self) -> None:
        """Empty both."""
        for one in self._owners:
            one.execute(_EMPTY)
        self._began = datetime.now(UTC)
        self._number = 0

    def play(self, steps: Iterable[Step]) -> None:
        """Make every change in both, and compare what was answered and, in the end, what is there."""
        self.begin()
        for step in steps:
            self.take(step)
        self.compare()

    def take(self, step: Step) -> None:
        """One step in both; the answers are the same."""
        self._number += 1000
        for one in self._owners:
            one.execute(_ALIGN, {"number": self._number})
        if isinstance(step, Seal):
            self.runner.run(self._seal())
            return
        by_http, by_sql = self.runner.run(self._ask(step)), self._execute(step)
        told = by_http.rule or (by_http.code if not by_http.is_done else "done")
        self.met[told] += 1
        assert _agree(step, by_http, by_sql), f"{step}\n  HTTP: {by_http}\n  SQL:  {by_sql}"

    async def _seal(self) -> None:
        for one in self.databases:
            await Secrets(one, self.keyring).seal_inbox()

    def converge(self) -> None:
        """The daemon's passes over both, until nothing is left to do."""
        for one in self.databases:
            self.runner.run(settle(one, self.keyring))

    async def _ask(self, twin: Twin) -> Answer:
        said = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **twin.headers}
        body = None if twin.body is None else json.dumps(twin.body, ensure_ascii=False).encode()
        async with self._client.request(twin.method, twin.path, data=body, headers=said) as answer:
            if answer.status < 300:
                return Answer()
            problem = await answer.json(content_type=None)
        return Answer(
            rule=problem.get("rule", ""),
            message=problem["detail"],
            pointer=problem.get("pointer", ""),
            code=str(answer.status),
        )

    def _execute(self, twin: Twin) -> Answer:
        rows = 0
        try:
            with self._admin.transaction():
                for statement in twin.statements:
                    met = self._run(statement)
                    rows += met
                    if statement.is_needed and not met:
                        break
        except psycopg.Error as error:
            told = error.diag
            return Answer(
                rule=told.constraint_name or "",
                message=told.message_primary or str(error),
                pointer=within(twin.place, told.column_name or ""),
                code=error.sqlstate or "none",
            )
        return Answer(rows=rows)

    def _run(self, statement: Statement) -> int:
        count = self._admin.execute(statement.text.encode(), statement.values).rowcount
        return self._run(statement.otherwise) if count == 0 and statement.otherwise else count

    # Comparing them.

    def compare(self, *, also_observed: bool = False) -> None:
        """Spec, generation, revisions, audit, secrets, and on request what the daemon recorded, are the same."""
        parts = _DESIRED | (_OBSERVED if also_observed else {})
        for name, query in parts.items():
            http, sql = (self._rows(one, query) for one in self._owners)
            assert http == sql, f"{name} differ:\n  HTTP: {_only(http, sql)}\n  SQL:  {_only(sql, http)}"

    def desired(self) -> list[Any]:
        """What is desired in the fleet that is changed by SQL, and its history."""
        return [self._rows(self._owners[1], query) for query in _DESIRED.values()]

    def _rows(self, connection: psycopg.Connection[Any], query: str) -> list[Any]:
        return [self._plain(row) for (row,) in connection.execute(query.encode())]

    def _plain(self, value: Any) -> Any:
        """Without the times of this run: a time near now is so many quarters of an hour from its beginning."""
        if isinstance(value, dict):
            return {key: self._plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._plain(one) for one in value]
        return _TIME.sub(self._relative, value) if isinstance(value, str) else value

    def _relative(self, found: re.Match[str]) -> str:
        text = found[0].replace(" UTC", "Z")
        moment = datetime.fromisoformat(text if text.endswith(("Z", "+00:00")) else text.removesuffix("+00") + "Z")
        since = moment - self._began
        if abs(since) > _NEAR:
            return moment.isoformat()
        return f"<now + {round(since.total_seconds() / _GRAIN_SECONDS)} quarters>"


def _only(these: list[Any], others: list[Any]) -> list[Any]:
    return [one for one in these if one not in others] or these


def _agree(twin: Twin, http: Answer, sql: Answer) -> bool:
    if http.is_done or sql.is_done:
        # what is not there is "not found" to one, and "0 rows" to the other
        return (http.is_done and sql.is_done) or (http.code in ("404", "412") and sql.rows == 0)
    if http.code == "404":
        return sql.code == "AR001"
    if twin.is_wrong and "unchanged" in (http.rule, sql.rule):
        return True  # wrong in two ways: it is there already, too
    return (http.rule, http.message, http.pointer) == (sql.rule, sql.message, sql.pointer)
