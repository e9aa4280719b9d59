"""`armillary token`: bearer tokens of the API, made and revoked on the daemon's machine by its state database.

They do not go through the API: whoever has no token yet could not ask it for one. The store is imported when it
is needed, so that other commands start without it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from cli.errors import NotFound, Refused
from cli.home import resolve
from cli.interruption import run
from cli.output import Format, console, show
from cli.session import HomeOption, OutputOption

if TYPE_CHECKING:
    from state.tokens import Token

app = typer.Typer(help="Bearer tokens of the API.", no_args_is_help=True)

_COLUMNS = ("id", "name", "created_at", "expires_at")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call it: who uses it, and from where.")],
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Make a token and print it. It is stored as a digest only, so this is the one time it can be seen."""
    from cli import store
    from state.tokens import Tokens

    async def make() -> str:
        async with store.database(resolve(home)) as database:
            return await Tokens(database).create(name)

    plain = run(make())
    if output is Format.TABLE:
        console().print(Text(plain), soft_wrap=True)
    else:
        show({"name": name, "token": plain}, output, rows=(), columns=())


@app.command("list")
def list_(*, output: OutputOption = Format.TABLE, home: HomeOption = None) -> None:
    """Show the tokens there are, never their values."""
    from cli import store
    from state.tokens import Tokens

    async def look() -> list[dict[str, Any]]:
        async with store.database(resolve(home)) as database:
            return [_row(one) for one in await Tokens(database).list()]

    rows = run(look())
    show(rows, output, rows=rows, columns=_COLUMNS)


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="The token to revoke.")],
    *,
    home: HomeOption = None,
) -> None:
    """Make a token worthless from now on."""
    from cli import store
    from state.tokens import Tokens

    async def end() -> Token:
        async with store.database(resolve(home)) as database:
            known = Tokens(database)
            token = _named(name, await known.list())
            await known.revoke(token.id)
            return token

    revoked = run(end())
    console().print(Text(f"token {revoked.name} (id {revoked.id}) is revoked"))


def _named(wanted: str, known: Sequence[Token]) -> Token:
    """The token of that id, or the only one of that name. Raises NotFound or Refused."""
    found = [one for one in known if str(one.id) == wanted] or [one for one in known if one.name == wanted]
    if not found:
        raise NotFound(f"There is no token {wanted!r} in force.", todo="See: armillary token list")
    if len(found) > 1:
        ids = ", ".join(str(one.id) for one in found)
        raise Refused(f"{len(found)} tokens are called {wanted!r}.", todo=f"Say which by its id: {ids}.")
    return found[0]


def _row(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "created_at": token.created_at.isoformat(timespec="seconds"),
        "expires_at": token.expires_at and token.expires_at.isoformat(timespec="seconds"),
    }
