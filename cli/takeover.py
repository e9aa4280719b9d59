"""`armillary takeover`: lets the daemon act on a restored database again."""
# ruff: noqa: PLC0415 - the store is imported when it is needed, so that other commands start without it

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cli.home import resolve
from cli.interruption import run
from cli.output import console
from cli.session import HomeOption

if TYPE_CHECKING:
    from state.pool import Connection


def takeover(
    reason: Annotated[str, typer.Argument(help="Why, for the audit: which backup, and what was looked at.")],
    *,
    home: HomeOption = None,
) -> None:
    """After a restore: let the daemon act again. Look first at what the backup does not know of."""
    from cli import store

    async def take() -> str:
        async def work(connection: Connection) -> Any:
            # believed, because whoever may run this owns the database
            await connection.execute("SELECT set_config('armillary.actor', %s, true)", ("armillary takeover",))
            return await (await connection.execute("SELECT armillary.takeover(%s)", (reason,))).fetchone()

        async with store.database(resolve(home)) as database:
            return str((await database.write(work))[0])

    console().print(Text(run(take())), soft_wrap=True)
