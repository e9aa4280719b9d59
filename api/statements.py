"""Every operation of the HTTP API beside the statement that does the same in psql.

A change by either is the same change. The examples are about demo/hello. `python -m api.statements` writes the
table in docs/administrators.md; a test executes every statement, and makes every change both ways and compares.
"""

# ruff: noqa: S608 - these statements are shown, and executed by tests only; nothing from outside is in them

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WORKSPACE = "/v1/workspaces/{workspace}"
_DEPLOYMENT = _WORKSPACE + "/deployments/{deployment}"
_NAMES = {
    "workspace": "demo",
    "deployment": "hello",
    "component": "triggerer",
    "variable": "REGION",
    "unit": "scheduler",
    "cluster": "local",
    "email": "data-team@example.org",
}
_BEGIN = "<!-- made by: python -m api.statements -->\n"
_END = "<!-- end -->\n"
_HERE = "deployment = 'demo/hello'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: method, path template, example document, and its statements in one transaction.

    `headers`: a condition that makes PUT create only, as INSERT does. `before`: statements that make the example
    possible. Where there is no statement, `why_none` says why.
    """

    method: str
    path: str
    statements: tuple[str, ...] = ()
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    why_none: str = ""

    @property
    def example(self) -> str:
        """The path with names of the example in it."""
        return self.path.format(**_NAMES)

    @property
    def is_change(self) -> bool:
        """True when it changes what is desired."""
        return self.method != "GET"


def _get(path: str, *statements: str, why_none: str = "") -> Operation:
    return Operation(method="GET", path=path, statements=statements, why_none=why_none)


def _patch(body: Mapping[str, Any], *statements: str, before: tuple[str, ...] = ()) -> Operation:
    return Operation(method="PATCH", path=_DEPLOYMENT, body=body, statements=statements, before=before)


_NEW = {"If-None-Match": "*"}
_DELETE = f"DELETE FROM armillary.deployments WHERE {_HERE}"
_INSERT = (
    "INSERT INTO armillary.deployments (workspace, name, airflow_version, dags_folder)"
    " VALUES ('demo', 'hello', '3.3.2', '/srv/dags')"
)
_VARIABLE = _DEPLOYMENT + "/variables/{variable}"
_INSERT_VARIABLE = "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', 'REGION', 'eu')"


_INSERT_EMAIL = (
    "INSERT INTO armillary.alert_emails (deployment, email) VALUES ('demo/hello', 'data-team@example.org')"
)


def _layer(path: str, layer: str, name: str) -> tuple[Operation, ...]:
    """The operations on the default variables of one layer."""
    here = f"layer = '{layer}' AND name = '{name}'"
    one = f"{here} AND key = 'REGION'"
    insert = (
        "INSERT INTO armillary.default_variables (layer, name, key, value)"
        f" VALUES ('{layer}', '{name}', 'REGION', 'eu')"
    )
    put = (
        Operation(method="PUT", path=path + "/{variable}", body={"value": "eu"}, statements=(insert,)),
        Operation(
            method="PUT",
            path=path + "/{variable}",
            body={"value": "us"},
            before=(insert,),
            statements=(f"UPDATE armillary.default_variables SET value = 'us' WHERE {one}",),
        ),
    )
    remove = f"DELETE FROM armillary.default_variables WHERE {one}"
    return (
        _get(path, f"SELECT key, value FROM armillary.default_variables WHERE {here}"),
        _get(path + "/{variable}", f"SELECT value FROM armillary.default_variables WHERE {one}"),
        *put,
        Operation(method="DELETE", path=path + "/{variable}", before=(insert,), statements=(remove,)),
    )


OPERATIONS: tuple[Operation, ...] = (
    _get("/v1/workspaces", "SELECT * FROM armillary.workspaces ORDER BY name"),
    _get(_WORKSPACE, "SELECT * FROM armillary.workspaces WHERE name = 'demo'"),
    Operation(
        method="PUT",
        path="/v1/workspaces/{workspace}",
        body={"description": "for all"},
        statements=("UPDATE armillary.workspaces SET description = 'for all' WHERE name = 'demo'",),
    ),
    Operation(
        method="PATCH",
        path=_WORKSPACE,
        body={"description": "for all"},
        statements=("UPDATE armillary.workspaces SET description = 'for all' WHERE name = 'demo'",),
    ),
    Operation(
        method="DELETE", path=_WORKSPACE, statements=("DELETE FROM armillary.workspaces WHERE name = 'demo'",)
    ),
    _get("/v1/deployments", "SELECT * FROM armillary.deployments ORDER BY deployment"),
    _get(
        _WORKSPACE + "/deployments", "SELECT * FROM armillary.deployments WHERE workspace = 'demo' ORDER BY name"
    ),
    _get(
        _DEPLOYMENT,
        f"SELECT * FROM armillary.deployments WHERE {_HERE}",
        f"SELECT * FROM armillary.components WHERE {_HERE}",
        f"SELECT * FROM armillary.variables WHERE {_HERE}",
    ),
    Operation(
        method="PUT",
        path=_DEPLOYMENT,
        body={
            "airflow_version": "3.3.2",
            "dags_folder": "/srv/dags",
            "components": {"triggerer": {"replicas": 0}},
            "variables": {"REGION": {"value": "eu"}},
        },
        headers=_NEW,
        before=(_DELETE,),
        statements=(
            _INSERT,
            f"UPDATE armillary.components SET replicas = 0 WHERE {_HERE} AND component = 'triggerer'",
            _INSERT_VARIABLE,
        ),
    ),
    _patch(
        {"dags_folder": "/srv/other", "components": {"scheduler": {"settings": {"parallelism": 8}}}},
        f"UPDATE armillary.deployments SET dags_folder = '/srv/other' WHERE {_HERE}",
        "UPDATE armillary.components SET settings = settings || '{\"parallelism\": 8}'"
        f" WHERE {_HERE} AND component = 'scheduler'",
    ),
    _patch({"hibernated": True}, "SELECT armillary.hibernate('demo/hello')"),
    _patch(
        {"hibernated": False},
        "SELECT armillary.wake('demo/hello')",
        before=("SELECT armillary.hibernate('demo/hello')",),
    ),
    _patch(
        {"paused_until": "2031-01-01T00:00:00Z", "pause_reason": "moving"},
        "SELECT armillary.pause('demo/hello', '2031-01-01T00:00:00Z', 'moving')",
    ),
    _patch(
        {"paused_until": None, "pause_reason": None},
        "SELECT armillary.resume('demo/hello')",
        before=("SELECT armillary.pause('demo/hello', now() + interval '1 day', 'moving')",),
    ),
    _patch(
        {"restarted_at": "2031-01-01T00:00:00Z"},
        f"UPDATE armillary.deployments SET restarted_at = '2031-01-01T00:00:00Z' WHERE {_HERE}",
    ),
    _patch({"deletion_requested_at": None}, "SELECT armillary.undelete('demo/hello')", before=(_DELETE,)),
    _patch(
        {"delete_after": "2031-01-01T00:00:00Z", "retain_until": "2032-01-01T00:00:00Z"},
        "UPDATE armillary.deployments SET delete_after = '2031-01-01T00:00:00Z',"
        f" retain_until = '2032-01-01T00:00:00Z' WHERE {_HERE}",
        before=(_DELETE,),
    ),
    Operation(method="DELETE", path=_DEPLOYMENT, statements=(_DELETE,)),
    Operation(
        method="PUT",
        path=_DEPLOYMENT + "/rollback",
        body={"revision": 1},
        before=("SELECT armillary.hibernate('demo/hello')",),
        statements=("SELECT armillary.rollback('demo/hello', 1)",),
    ),
    _get(_DEPLOYMENT + "/components", f"SELECT * FROM armillary.components WHERE {_HERE}"),
    _get(
        _DEPLOYMENT + "/components/{component}",
        f"SELECT * FROM armillary.components WHERE {_HERE} AND component = 'triggerer'",
    ),
    Operation(
        method="PATCH",
        path=_DEPLOYMENT + "/components/{component}",
        body={"replicas": 0},
        statements=(f"UPDATE armillary.components SET replicas = 0 WHERE {_HERE} AND component = 'triggerer'",),
    ),
    _get(_DEPLOYMENT + "/variables", f"SELECT * FROM armillary.variables WHERE {_HERE}"),
    _get(_VARIABLE, f"SELECT * FROM armillary.variables WHERE {_HERE} AND key = 'REGION'"),
    Operation(method="PUT", path=_VARIABLE, body={"value": "eu"}, statements=(_INSERT_VARIABLE,)),
    Operation(
        method="PUT",
        path=_VARIABLE,
        body={"value": "us"},
        before=(_INSERT_VARIABLE,),
        statements=(f"UPDATE armillary.variables SET value = 'us' WHERE {_HERE} AND key = 'REGION'",),
    ),
    Operation(
        method="DELETE",
        path=_VARIABLE,
        before=(_INSERT_VARIABLE,),
        statements=(f"DELETE FROM armillary.variables WHERE {_HERE} AND key = 'REGION'",),
    ),
    _get(_DEPLOYMENT + "/alert-emails", f"SELECT email FROM armillary.alert_emails WHERE {_HERE}"),
    Operation(method="PUT", path=_DEPLOYMENT + "/alert-emails/{email}", statements=(_INSERT_EMAIL,)),
    Operation(
        method="DELETE",
        path=_DEPLOYMENT + "/alert-emails/{email}",
        before=(_INSERT_EMAIL,),
        statements=(f"DELETE FROM armillary.alert_emails WHERE {_HERE} AND email = 'data-team@example.org'",),
    ),
    *_layer("/v1/default-variables", "platform", ""),
    *_layer("/v1/clusters/{cluster}/default-variables", "cluster", "local"),
    *_layer(_WORKSPACE + "/default-variables", "workspace", "demo"),
    _get(
        _DEPLOYMENT + "/status",
        f"SELECT * FROM armillary.fleet WHERE {_HERE}",
        f"SELECT * FROM armillary.conditions WHERE {_HERE}",
        f"SELECT * FROM armillary.units WHERE {_HERE} ORDER BY position",
    ),
    _get(_DEPLOYMENT + "/events", f"SELECT * FROM armillary.events WHERE {_HERE} ORDER BY id DESC LIMIT 100"),
    _get(
        _DEPLOYMENT + "/revisions",
        f"SELECT * FROM armillary.history WHERE {_HERE} ORDER BY revision DESC LIMIT 100",
    ),
    _get(_DEPLOYMENT + "/why", "SELECT * FROM armillary.why('demo/hello')"),
    _get(
        _DEPLOYMENT + "/plan",
        "SELECT * FROM armillary.plan_of('demo/hello')",
    ),
    _get(_DEPLOYMENT + "/login", why_none="a generated password is in no view"),
    _get(_DEPLOYMENT + "/logs", why_none="logs are files of the cluster"),
    _get(_DEPLOYMENT + "/logs/{unit}", why_none="logs are files of the cluster"),
    _get(_DEPLOYMENT + "/usage", why_none="only the cluster knows what its processes use"),
    _get(
        "/v1/alerts",
        "SELECT deployment, ready_reason, message FROM armillary.fleet WHERE synced <> 'True' OR ready <> 'True'",
        "SELECT * FROM armillary.waiting",
        "SELECT * FROM armillary.alert_emails",
    ),
    _get("/healthz", why_none="it is about the daemon's process"),
    _get("/readyz", why_none="it is about the daemon's process"),
    _get("/metrics", why_none="it is about the daemon's process"),
    _get("/openapi.json", why_none="`\\dv+ armillary.*` and `\\df+ armillary.*` describe what there is"),
)


def table() -> str:
    """The operations as a table in Markdown, between the marks of the page."""
    rows = [f"| {_told(one)} | {_shown(one)} |\n" for one in OPERATIONS]
    return "".join([_BEGIN, "| HTTP | SQL |\n|---|---|\n", *rows, _END])


def _told(one: Operation) -> str:
    path = one.example.replace(_DEPLOYMENT.format(**_NAMES), "D")
    document = "" if one.body is None else f" `{json.dumps(one.body)}`"
    condition = "".join(f", `{name}: {value}`" for name, value in one.headers.items())
    return f"`{one.method} {path}`{document}{condition}"


def _shown(one: Operation) -> str:
    statements = " ".join(f"`{statement};`".replace("|", "\\|") for statement in one.statements)
    return statements or f"none: {one.why_none}"


def with_table(page: str) -> str:
    """The page with the table of now. Raises ValueError for a page without the marks."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: lines {_BEGIN.strip()} and {_END.strip()}")
    return before + table() + after


def main() -> None:
    """Write the table into the page for administrators."""
    page = Path(__file__).parent.parent / "docs" / "administrators.md"
    page.write_text(with_table(page.read_text()))
    sys.stdout.write(f"{page} has {len(OPERATIONS)} operations\n")


if __name__ == "__main__":
    main()
