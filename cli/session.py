"""What the commands that ask the API share: their common options, and one way to run an asking coroutine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from cli.client import Client, endpoint
from cli.home import resolve
from cli.interruption import run
from cli.output import Format

T = TypeVar("T")

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        help="The installation's folder (default: $ARMILLARY_HOME, else the user's data folder, "
        "else /var/lib/armillary for root).",
        file_okay=False,
    ),
]
OutputOption = Annotated[
    Format, typer.Option("-o", "--output", help="How to show it: a table for people, else for programs.")
]


def asking(home: Path | None, ask: Callable[[Client], Awaitable[T]]) -> T:
    """Open a client of the home's API (or of $ARMILLARY_URL), run `ask` with it, and return its answer."""

    async def work() -> T:
        async with Client(endpoint(resolve(home))) as api:
            return await ask(api)

    return run(work())
