"""`armillary top`: what deployments use of the machine, unit by unit, the busiest first."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from cli import completion
from cli.client import Client
from cli.errors import NotFound
from cli.names import deployment_name
from cli.output import Format, console, show, table
from cli.session import HomeOption, OutputOption, asking

_COLUMNS = ("deployment", "unit", "processes", "cpu_percent", "memory_mib")
_AT_ONCE = 8

Usage = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One unit between two looks. `cpu_percent`: of one processor; two busy ones are 200."""

    deployment: str
    unit: str
    processes: int
    cpu_percent: float
    memory_mib: int

    def as_dict(self) -> dict[str, Any]:
        """By column."""
        return {name: getattr(self, name) for name in _COLUMNS}


def top(
    name: Annotated[
        str,
        typer.Argument(metavar="[WORKSPACE/NAME]", autocompletion=completion.deployments, help="Only this one."),
    ] = "",
    *,
    every: Annotated[float, typer.Option(help="Seconds between looks.", min=0.5, max=60.0)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Two looks, one answer.")] = False,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Show what deployments use of the machine."""
    if name:
        deployment_name(name)

    async def ask(api: Client) -> list[Row]:
        before = await _look(api, name)
        await asyncio.sleep(every)
        rows = between(before, now := await _look(api, name))
        if once or output is not Format.TABLE or not sys.stdout.isatty():
            return rows
        with Live(_table(rows), console=console(), auto_refresh=False) as live:
            while True:
                await asyncio.sleep(every)
                before, now = now, await _look(api, name)
                live.update(_table(between(before, now)), refresh=True)

    rows = [row.as_dict() for row in asking(home, ask)]
    show(rows, output, rows=rows, columns=_COLUMNS)


def between(before: Mapping[str, Usage], now: Mapping[str, Usage]) -> list[Row]:
    """What each unit used between two looks, the busiest first, then the biggest.

    A unit that was started anew in between began to count again at nothing.
    """
    rows = [row for deployment, usage in now.items() for row in _rows(deployment, before.get(deployment), usage)]
    return sorted(rows, key=lambda row: (-row.cpu_percent, -row.memory_mib, row.deployment, row.unit))


def _rows(deployment: str, before: Usage | None, now: Usage) -> list[Row]:
    spent = {one["unit"]: one["cpu_seconds"] for one in before["units"]} if before else {}
    seconds = now["seconds"] - before["seconds"] if before else 0.0
    return [
        Row(
            deployment=deployment,
            unit=one["unit"],
            processes=one["processes"],
            cpu_percent=_percent(one["cpu_seconds"] - spent.get(one["unit"], one["cpu_seconds"]), seconds),
            memory_mib=round(one["memory_bytes"] / 2**20),
        )
        for one in now["units"]
    ]


def _percent(spent: float, seconds: float) -> float:
    return round(100 * max(0.0, spent) / seconds, 1) if seconds > 0 else 0.0


async def _look(api: Client, name: str) -> dict[str, Usage]:
    """What each deployment uses now, or only the named one. What is deleted while we look is left out."""
    names = [name] if name else [f"{one['workspace']}/{one['name']}" for one in await api.get("/v1/deployments")]
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(deployment: str) -> Usage | None:
        async with turns:
            try:
                found: Usage = await api.get(f"{deployment_name(deployment).path}/usage")
            except NotFound:
                if name:
                    raise
                return None
            return found

    looks = await asyncio.gather(*map(one, names))
    return {deployment: look for deployment, look in zip(names, looks, strict=True) if look is not None}


def _table(rows: Sequence[Row]) -> Table:
    return table([row.as_dict() for row in rows], _COLUMNS)
