"""The commands that only look: `get`, `describe`, `why`, `status`. What they show is what the API says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from cli import completion
from cli.client import Client
from cli.errors import CommandError
from cli.names import deployment_name, workspace_path
from cli.output import Format, console, print_yaml, show, table
from cli.session import HomeOption, OutputOption, asking

_AT_ONCE = 8  # requests in flight: the API has few connections to its database
_EVENTS_SHOWN = 15

_DEPLOYMENT_COLUMNS = ("deployment", "ready", "synced", "airflow", "executor", "message", "address")
_WORKSPACE_COLUMNS = ("name", "description", "generation", "created_at")
_UNIT_COLUMNS = ("unit", "component", "state", "detail")
_CONDITION_COLUMNS = ("type", "status", "reason", "message", "since")
_EVENT_COLUMNS = ("at", "reason", "cause", "object", "message")

Row = dict[str, Any]

DeploymentArgument = Annotated[
    str, typer.Argument(metavar="WORKSPACE/NAME", autocompletion=completion.deployments)
]


class Kind(StrEnum):
    """What `get` can show."""

    WORKSPACES = "workspaces"
    WORKSPACE = "workspace"
    DEPLOYMENTS = "deployments"
    DEPLOYMENT = "deployment"


def get(
    kind: Annotated[Kind, typer.Argument(help="What to show.")],
    name: Annotated[str, typer.Argument(help="WORKSPACE, or WORKSPACE/NAME for one deployment.")] = "",
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Show workspaces, deployments, or one of them. What `-o yaml` prints can be applied again."""
    match kind, name:
        case Kind.WORKSPACES | Kind.WORKSPACE, "":
            _show_workspaces(asking(home, lambda api: api.get("/v1/workspaces")), output)
        case Kind.WORKSPACES | Kind.WORKSPACE, _:
            _show_workspaces(asking(home, lambda api: api.get(workspace_path(name))), output)
        case Kind.DEPLOYMENTS | Kind.DEPLOYMENT, "":
            _show_deployments(home, "/v1/deployments", output)
        case Kind.DEPLOYMENTS, _ if "/" not in name:
            _show_deployments(home, f"{workspace_path(name)}/deployments", output)
        case _:
            _show_deployments(home, deployment_name(name).path, output)


def describe(name: DeploymentArgument, *, output: OutputOption = Format.TABLE, home: HomeOption = None) -> None:
    """Show everything about one deployment: what is asked, how it stands, and what happened last."""
    path = deployment_name(name).path

    async def ask(api: Client) -> Row:
        spec, status, events = await asyncio.gather(
            api.get(path), api.get(f"{path}/status"), api.get(f"{path}/events", limit=_EVENTS_SHOWN)
        )
        return {"spec": spec, "status": status, "events": listed(events)}

    found = asking(home, ask)
    if output is Format.TABLE:
        _describe(found)
    else:
        show(found, output, rows=(), columns=())


def why(name: DeploymentArgument, *, output: OutputOption = Format.TABLE, home: HomeOption = None) -> None:
    """Say in words why a deployment is as it is, and what it waits for."""
    path = deployment_name(name).path
    found = asking(home, lambda api: api.get(f"{path}/why"))
    if output is not Format.TABLE:
        show(found, output, rows=(), columns=())
        return
    out = console()
    out.print(Text(str(found["why"])))
    for line in found.get("lines") or ():
        out.print(Text(f"  {_line(line)}"))


def status(
    name: Annotated[str, typer.Argument(metavar="[WORKSPACE/NAME]", autocompletion=completion.deployments)] = "",
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Show how the fleet is, or how one deployment and each of its units is."""
    if name:
        path = deployment_name(name).path
        found = asking(home, lambda api: api.get(f"{path}/status"))
        if output is Format.TABLE:
            show_status(found)
        else:
            show(found, output, rows=(), columns=())
        return
    url, documents = asking(home, _fleet)
    rows = [deployment_row(one) for one in documents]
    if output is Format.TABLE:
        console().print(Text.assemble(("API  ", "bold"), url))
    show({"url": url, "deployments": rows}, output, rows=rows, columns=_DEPLOYMENT_COLUMNS)


async def _fleet(api: Client) -> tuple[str, list[Row]]:
    return api.url, await with_status(api, listed(await api.get("/v1/deployments")))


async def with_status(api: Client, documents: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The documents, each with its `status`; a status that cannot be read is told, not left out."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def one(document: Mapping[str, Any]) -> Row:
        async with turn:
            path = deployment_name(f"{document['workspace']}/{document['name']}").path
            try:
                return {**document, "status": await api.get(f"{path}/status")}
            except CommandError as error:
                return {**document, "status": {"error": error.what}}

    return list(await asyncio.gather(*map(one, documents)))


def deployment_row(document: Mapping[str, Any]) -> Row:
    """One row about a deployment and its status."""
    found = document.get("status") or {}
    ready, synced = condition(found, "Ready"), condition(found, "Synced")
    return {
        "deployment": f"{document['workspace']}/{document['name']}",
        "ready": ready.get("status", "Unknown"),
        "synced": synced.get("status", "Unknown"),
        "airflow": document.get("airflow_version"),
        "executor": document.get("executor"),
        "message": found.get("error") or ready.get("message", ""),
        "address": (found.get("addresses") or {}).get("airflow", ""),
    }


def condition(found: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of that type in a status document; empty when it was never observed."""
    return next((one for one in found.get("conditions") or () if one["type"] == kind), {})


def listed(answer: Any) -> list[Row]:
    """The entries of a list that the API answered."""
    return list(answer["items"] if isinstance(answer, dict) else answer)


def _show_workspaces(answer: Any, output: Format) -> None:
    rows = [answer] if isinstance(answer, dict) and "items" not in answer else listed(answer)
    show(answer, output, rows=rows, columns=_WORKSPACE_COLUMNS)


def _show_deployments(home: Any, path: str, output: Format) -> None:
    async def ask(api: Client) -> list[Row]:
        answer = await api.get(path)
        found = [answer] if isinstance(answer, dict) and "workspace" in answer else listed(answer)
        return await with_status(api, found) if output is Format.TABLE else found

    found = asking(home, ask)
    data = found[0] if path.count("/") > 4 else found
    show(data, output, rows=[deployment_row(one) for one in found], columns=_DEPLOYMENT_COLUMNS)


def show_status(found: Mapping[str, Any]) -> None:
    """A status document as tables: conditions, units, addresses."""
    out = console()
    out.print(table(list(found.get("conditions") or ()), _CONDITION_COLUMNS))
    out.print()
    out.print(table(list(found.get("units") or ()), _UNIT_COLUMNS))
    for what, address in sorted((found.get("addresses") or {}).items()):
        out.print(Text.assemble("\n", (f"{what}  ", "bold"), str(address)))


def _describe(found: Mapping[str, Any]) -> None:
    out = console()
    out.print(Text("What is asked", style="bold underline"))
    print_yaml(found["spec"])
    out.print(Text("\nHow it is", style="bold underline"))
    show_status(found["status"])
    out.print(Text("\nWhat happened last", style="bold underline"))
    out.print(table(found["events"], _EVENT_COLUMNS))


def _line(line: Any) -> str:
    return line if isinstance(line, str) else ", ".join(f"{key}: {value}" for key, value in line.items() if value)
