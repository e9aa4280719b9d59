"""`armillary logs`: what a deployment's units printed, through the API, once or as it comes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from cli import completion
from cli.client import Client
from cli.errors import Misused, NotFound, Unreachable
from cli.names import DeploymentName, deployment_name
from cli.output import Format, console, show
from cli.session import HomeOption, OutputOption, asking

_FOLLOW_SECONDS = 0.5
_LINES_MAX = 1000  # of each unit at once: following loses lines only when more come within half a second

_REPLICA = re.compile(r"-\d+$")
_AGE = re.compile(r"(\d{1,4})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_AGE_SECONDS_MAX = 31 * _SECONDS["d"]

Lines = Sequence[str]


@dataclass(frozen=True, slots=True)
class Window:
    """Which lines of a log: the last so many, and of them those of the last seconds when that is said."""

    lines: int
    seconds: int | None = None


_ALL = Window(_LINES_MAX)


def logs(
    name: Annotated[
        str, typer.Argument(metavar="WORKSPACE/NAME", autocompletion=completion.deployments, help="Whose logs.")
    ],
    *,
    unit: Annotated[
        list[str] | None,
        typer.Option("-c", "--unit", help="Only this unit or replica: scheduler, worker-1. May be repeated."),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", help="How many of the last lines of each.", min=1, max=_LINES_MAX)
    ] = 100,
    since: Annotated[
        str, typer.Option(metavar="AGE", help="Of them, only what is not older: 30s, 10m, 2h or 1d.")
    ] = "",
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Show what a deployment's units printed last."""
    whose, window = deployment_name(name), Window(lines=lines, seconds=_seconds(since) if since else None)

    async def ask(api: Client) -> dict[str, list[str]]:
        units = await _chosen(api, whose, unit)
        if follow:
            await _follow(api, whose, units, window)
        return {one: await tail(api, whose, one, window) for one in units}

    found = asking(home, ask)
    if output is Format.TABLE:
        printer = _printer(list(found))
        for one, told in found.items():
            for line in told:
                printer(one, line)
    else:
        show(found, output, rows=(), columns=())


def _seconds(age: str) -> int:
    """What `10m` means. Raises Misused."""
    found = _AGE.fullmatch(age)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not 0 < seconds <= _AGE_SECONDS_MAX:
        raise Misused(f"{age!r} is no age of lines.", todo="Write for example 30s, 10m, 2h or 1d, at most 31d.")
    return seconds


async def _chosen(api: Client, whose: DeploymentName, wanted: Lines | None) -> Lines:
    """The units or replicas asked for, or all units. Raises NotFound for one that the deployment does not have."""
    units = [str(one["unit"]) for one in (await api.get(f"{whose.path}/status"))["units"]]
    for one in wanted or ():
        if one not in units and _REPLICA.sub("", one) not in units:
            raise NotFound(f"{whose} has no unit {one!r}.", todo=f"There are: {', '.join(units) or 'none yet'}")
    return wanted or units


async def tail(api: Client, whose: DeploymentName, unit: str, window: Window) -> list[str]:
    """The last lines of a unit; none when it has no log (a file, a role) or not yet."""
    age = {} if window.seconds is None else {"since": window.seconds}
    try:
        answer = await api.get(f"{whose.path}/logs", unit=unit, lines=window.lines, **age)
    except NotFound:
        return []
    return [str(line) for line in answer["lines"]]


def after(shown: Lines, told: Lines) -> Lines:
    """The lines of `told` that are new: both are as many last lines of one log, `told` seen later than `shown`."""
    for length in range(min(len(shown), len(told)), 0, -1):
        if list(shown[-length:]) == list(told[:length]):
            return told[length:]
    return told


async def _follow(api: Client, whose: DeploymentName, units: Lines, window: Window) -> NoReturn:
    """Print each line once, for ever: through restarts of the daemon, and from before there is a log."""
    printer = _printer(units)
    counts = {unit: len(await tail(api, whose, unit, window)) for unit in units}
    seen = {unit: await tail(api, whose, unit, _ALL) for unit in units}
    fresh: Mapping[str, Lines] = {unit: told[len(told) - counts[unit] :] for unit, told in seen.items()}
    while True:
        for unit, told in fresh.items():
            for line in told:
                printer(unit, line)
        await asyncio.sleep(_FOLLOW_SECONDS)
        now = {unit: await _again(api, whose, unit, seen[unit]) for unit in units}
        fresh, seen = {unit: after(seen[unit], now[unit]) for unit in units}, now


async def _again(api: Client, whose: DeploymentName, unit: str, seen: list[str]) -> list[str]:
    try:
        return await tail(api, whose, unit, _ALL)
    except Unreachable:
        return seen  # the daemon is being restarted, and what it keeps prints on


def _printer(units: Lines) -> Callable[[str, str], None]:
    out, width = console(), max(map(len, units), default=0)

    def show_line(unit: str, line: str) -> None:
        head = (f"{unit:<{width}} | ", "bright_black") if len(units) > 1 else ""
        out.print(Text.assemble(head, line), soft_wrap=True)

    return show_line
