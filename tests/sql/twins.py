"""The same change, twice: as a request of the HTTP API and as statements of an administrator in psql.

A `Twin` is one change in both forms; `draws.py` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

WORKSPACES = ("ads", "bi")
NAMES = ("one", "two")
COMPONENTS = ("api-server", "dag-processor", "scheduler", "triggerer")
KEYS = ("A", "REGION", "TOKEN")
SETTINGS = {
    "api-server": "workers",
    "dag-processor": "parsing_processes",
    "scheduler": "parallelism",
    "triggerer": "capacity",
}
TIMES = ("2031-01-01T00:00:00Z", "2032-06-15T12:30:00Z", "2033-12-31T23:59:59Z")
USUAL = {
    "airflow_version": "3.3.2",
    "executor": "LocalExecutor",
    "dags_folder": "/srv/dags",
    "hibernated": False,
    "drift_policy": "repair",
    "paused_until": None,
    "pause_reason": "",
    "restarted_at": None,
}
PART = {"replicas": 1, "cpu_millicores": None, "memory_mib": None, "grace_seconds": 20, "settings": {}}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. Of `otherwise`, when it is given, what is done where this one finds no row."""

    text: str
    values: tuple[Any, ...] = ()
    otherwise: Statement | None = None
    is_needed: bool = False
    """Where it finds no row, the statements after it are not made either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """One change in both forms. `place`: where in the deployment's document the request's lies, as a pointer."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    statements: tuple[Statement, ...]
    place: str = ""
    is_wrong: bool = False

    def __repr__(self) -> str:
        asked = "" if self.body is None else json.dumps(self.body)
        told = "; ".join(f"{one.text} {one.values or ''}" for one in self.statements)
        return f"\n  {self.method} {self.path} {asked[:300]} {dict(self.headers) or ''}\n    = {told[:600]}"

    def _repr_pretty_(self, printer: Any, _cycle: object) -> None:  # how hypothesis tells a failing sequence
        printer.text(repr(self))


@dataclass(frozen=True, slots=True)
class Seal:
    """The daemon seals what waits in the inbox, in both fleets."""


Step = Twin | Seal


def deployment_at(workspace: str, name: str) -> str:
    return f"/v1/workspaces/{workspace}/deployments/{name}"


def make_workspace(name: str, description: str) -> Twin:
    return Twin(
        method="PUT",
        path=f"/v1/workspaces/{name}",
        body={"description": description},
        headers={"If-None-Match": "*"},
        statements=(
            Statement("INSERT INTO armillary.workspaces (name, description) VALUES (%s, %s)", (name, description)),
        ),
        is_wrong=not name.islower() or len(description) > 1000,
    )


def make_deployment(workspace, name, fields, components, variables, *, is_wrong=False) -> Twin:
    columns = {"airflow_version": "3.3.2", "dags_folder": "/srv/dags", **fields}
    insert = Statement(
        f"INSERT INTO armillary.deployments (workspace, name, {', '.join(columns)})"
        f" VALUES (%s, %s{', %s' * len(columns)})",
        (workspace, name, *columns.values()),
    )
    target = f"{workspace}/{name}"
    parts = [change_component(target, one, said) for one, said in components.items()]
    added = [_insert_variable(target, key, said) for key, said in variables.items()]
    return Twin(
        method="PUT",
        path=deployment_at(workspace, name),
        body={**columns, "components": components, "variables": variables},
        headers={"If-None-Match": "*"},
        statements=(insert, *parts, *added),
        is_wrong=is_wrong,
    )


def change_deployment(workspace, name, fields, *, is_wrong=False) -> Twin:
    return Twin(
        method="PATCH",
        path=deployment_at(workspace, name),
        body=fields,
        statements=(
            Statement(
                f"UPDATE armillary.deployments SET {_assigned(fields)} WHERE deployment = %s",
                (*fields.values(), f"{workspace}/{name}"),
            ),
        ),
        is_wrong=is_wrong,
    )


def _assigned(columns: Iterable[str]) -> str:
    return ", ".join(f"{one} = %s" for one in columns)


def change_component(target: str, component: str, said: Mapping[str, Any]) -> Statement:
    assignments = [f"{one} = %s" for one in said if one != "settings"]
    values = [value for one, value in said.items() if one != "settings"]
    if "settings" in said:
        assignments.append("settings = (settings || %s) - %s::text[]")
        values.append(json.dumps({key: value for key, value in said["settings"].items() if value is not None}))
        values.append([key for key, value in said["settings"].items() if value is None])
    return Statement(
        f"UPDATE armillary.components SET {', '.join(assignments)} WHERE deployment = %s AND component = %s",
        (*values, target, component),
    )


def put_variable(workspace: str, name: str, key: str, said: Mapping[str, Any], *, is_wrong=False) -> Twin:
    target = f"{workspace}/{name}"
    update = Statement(
        "UPDATE armillary.variables SET value = %s, secret = %s, components = %s"
        " WHERE deployment = %s AND key = %s",
        (said.get("value"), said.get("secret", False), said.get("components", []), target, key),
        otherwise=_insert_variable(target, key, said),
    )
    return Twin(
        method="PUT",
        path=f"{deployment_at(workspace, name)}/variables/{key}",
        body=said,
        statements=(update,),
        place=f"/variables/{key}",
        is_wrong=is_wrong,
    )


def put_default(layer: str, name: str, key: str, value: str, *, is_wrong=False) -> Twin:
    insert = Statement(
        "INSERT INTO armillary.default_variables (layer, name, key, value) VALUES (%s, %s, %s, %s)",
        (layer, name, key, value),
    )
    update = Statement(
        "UPDATE armillary.default_variables SET value = %s WHERE layer = %s AND name = %s AND key = %s",
        (value, layer, name, key),
        otherwise=insert,
    )
    return Twin(
        method="PUT",
        path=_default_at(layer, name, key),
        body={"value": value},
        statements=(update,),
        place=f"/variables/{key}",
        is_wrong=is_wrong,
    )


def delete_default(layer: str, name: str, key: str) -> Twin:
    statement = "DELETE FROM armillary.default_variables WHERE layer = %s AND name = %s AND key = %s"
    return Twin(
        method="DELETE",
        path=_default_at(layer, name, key),
        statements=(Statement(statement, (layer, name, key)),),
    )


def put_email(workspace: str, name: str, email: str, *, is_wrong=False) -> Twin:
    target = f"{workspace}/{name}"
    update = Statement(
        "UPDATE armillary.alert_emails SET email = %s WHERE deployment = %s AND lower(email) = lower(%s)",
        (email, target, email),
        otherwise=Statement(
            "INSERT INTO armillary.alert_emails (deployment, email) VALUES (%s, %s)", (target, email)
        ),
    )
    return Twin(
        method="PUT",
        path=_email_at(workspace, name, email),
        statements=(update,),
        place="/alert_emails/" + email.replace("~", "~0").replace("/", "~1"),
        is_wrong=is_wrong,
    )


def delete_email(workspace: str, name: str, email: str) -> Twin:
    statement = "DELETE FROM armillary.alert_emails WHERE deployment = %s AND lower(email) = lower(%s)"
    return Twin(
        method="DELETE",
        path=_email_at(workspace, name, email),
        statements=(Statement(statement, (f"{workspace}/{name}", email)),),
    )


def _email_at(workspace: str, name: str, email: str) -> str:
    return f"{deployment_at(workspace, name)}/alert-emails/{quote(email, safe='')}"


def _default_at(layer: str, name: str, key: str) -> str:
    above = f"/{layer}s/{name}" if name else ""
    return f"/v1{above}/default-variables/{key}"


def _insert_variable(target: str, key: str, said: Mapping[str, Any]) -> Statement:
    return Statement(
        "INSERT INTO armillary.variables (deployment, key, value, secret, components) VALUES (%s, %s, %s, %s, %s)",
        (target, key, said.get("value"), said.get("secret", False), said.get("components", [])),
    )


def replace_deployment(workspace, name, fields, components, variables) -> Twin:
    target, whole = f"{workspace}/{name}", USUAL | fields
    update = Statement(
        f"UPDATE armillary.deployments SET {_assigned(whole)}"
        " WHERE deployment = %s AND deletion_requested_at IS NULL",
        (*whole.values(), target),
        is_needed=True,
    )
    parts = [
        Statement(
            f"UPDATE armillary.components SET {_assigned(PART)} WHERE deployment = %s AND component = %s",
            (*_part(components.get(one, {})), target, one),
        )
        for one in COMPONENTS
    ]
    remove = Statement(
        "DELETE FROM armillary.variables WHERE deployment = %s AND key <> ALL (%s)", (target, list(variables))
    )
    put = [put_variable(workspace, name, key, said).statements[0] for key, said in variables.items()]
    return Twin(
        method="PUT",
        path=deployment_at(workspace, name),
        body={**fields, "airflow_version": "3.3.2", "dags_folder": whole["dags_folder"]}
        | {"components": components, "variables": variables},
        headers={"If-Match": "*"},
        statements=(update, *parts, remove, *put),
    )


def _part(said: Mapping[str, Any]) -> list[Any]:
    whole = PART | dict(said)
    return [json.dumps(value) if field == "settings" else value for field, value in whole.items()]


def delete(workspace: str, name: str) -> Twin:
    statement = Statement("DELETE FROM armillary.deployments WHERE deployment = %s", (f"{workspace}/{name}",))
    return Twin(method="DELETE", path=deployment_at(workspace, name), statements=(statement,))


def call(workspace: str, name: str, body: Mapping[str, Any], function: str, *values: Any, path: str = "") -> Twin:
    """A function of administrators beside the request that does the same."""
    return Twin(
        method="PUT" if path else "PATCH",
        path=deployment_at(workspace, name) + path,
        body=body,
        statements=(
            Statement(f"SELECT armillary.{function}(%s{', %s' * len(values)})", (f"{workspace}/{name}", *values)),
        ),
    )
