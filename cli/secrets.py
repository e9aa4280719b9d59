"""`armillary secret`: values sealed before they are put into SQL, and the keys that seal them.

On the daemon's machine, where the key ring is: no key ever travels. The store is imported when it is needed, so
that other commands start without it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.errors import Failed, NotPermitted, Refused
from cli.home import Home, resolve
from cli.interruption import run
from cli.output import console
from cli.session import HomeOption

if TYPE_CHECKING:
    from state.keyring import Keyring
    from state.rotation import Progress

app = typer.Typer(help="Secrets for SQL, and the keys that seal them.", no_args_is_help=True)

_VALUE_BYTES_MAX = 131_072
_ACTOR = "armillary secret rotate-key"


@app.command()
def seal(
    deployment: Annotated[str, typer.Argument(metavar="WORKSPACE/NAME", help="Whose variable it is.")],
    variable: Annotated[str, typer.Argument(metavar="KEY", help="The variable's name.")],
    *,
    home: HomeOption = None,
) -> None:
    """Print a secret's value as text that may be put into SQL: only the daemon opens it, for this variable only.

    The value is asked for, or read from standard input; never an argument, which everybody on the machine can see.
    """
    from cli import store
    from model.names import Owner
    from state import sealed_text

    place = resolve(home)

    async def look() -> Owner:
        async with store.database(place) as database:
            asked = {"path": deployment, "key": variable}
            await database.read("SELECT core.check_key(%(key)s)", asked)
            return Owner("deployment", str(await database.read_value("SELECT core.resolve(%(path)s)", asked)))

    owner = run(look())
    value = _value(variable)
    with store.told():
        text = sealed_text.write(_keyring(place), owner, variable, value)
    sys.stdout.write(text + "\n")  # as it is: no width, no colours


@app.command("rotate-key")
def rotate_key(
    *,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Make no new key; seal with the current one what is not yet.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Make a new key, and seal every secret anew with it. Nothing restarts; the daemon notices by itself."""
    from cli import store
    from state.rotation import Progress, Rotation

    place = resolve(home)

    async def rotate() -> Progress:
        async with store.database(place) as database:
            rotation = Rotation(database, _keyring(place))
            if not go_on:
                _say(f"The current key is {await rotation.begin(actor=_ACTOR)} now.")
            last = Progress(done=0, left=0, unopened=0)
            async for last in rotation.go_on(actor=_ACTOR):
                if last.left:
                    _say(f"{last.done} secrets are sealed anew, {last.left} are left.")
            return last

    _tell_end(run(rotate()))


@app.command("forget-keys")
def forget_keys(*, home: HomeOption = None) -> None:
    """Take the keys out of the key ring that seal nothing any more. Dumps that need them open no more."""
    from cli import store
    from state.rotation import Rotation

    place = resolve(home)

    async def forget() -> frozenset[str]:
        async with store.database(place) as database:
            return await Rotation(database, _keyring(place)).forget()

    gone = run(forget())
    _say(f"Forgotten: {', '.join(sorted(gone))}." if gone else "There is no key that seals nothing.")


def _tell_end(reached: Progress) -> None:
    _say(f"{reached.done} secrets were sealed anew.")
    if reached.unopened:
        raise Failed(
            f"{reached.unopened} secrets were left as they are: no key of this ring opens them.",
            where="SELECT * FROM armillary.sealing",
            todo="Restore the key ring that has their keys, then: armillary secret rotate-key --continue",
        )


def _keyring(place: Home) -> Keyring:
    """The home's key ring. Raises NotPermitted, or Refused where there is none: a new one would open nothing."""
    from cli import store
    from state.keyring import Keyring

    if not place.keyring.exists():
        raise Refused(
            "There is no key ring here.",
            where=str(place.keyring),
            todo="Run this where the daemon runs, or name its home with --home.",
        )
    try:
        with store.told():
            return Keyring.load_or_create(place.keyring)
    except PermissionError:
        raise NotPermitted(
            f"{place.keyring} may be read by its owner only.", todo="Run this as the user who runs the daemon."
        ) from None


def _value(variable: str) -> str:
    """The value: asked for at a terminal, else standard input without its last line break. Raises Refused."""
    if os.isatty(0):
        value = str(typer.prompt(f"Value of {variable}", hide_input=True, err=True))
    else:
        given = sys.stdin.buffer.read(_VALUE_BYTES_MAX + 2)
        try:
            value = given.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise Refused("The value is not text in UTF-8.", todo="Encode it, for example with base64.") from None
    if not value or "\x00" in value:
        raise Refused(
            "The value is empty, or holds a NUL character.",
            todo="Give it on standard input, or type it when asked.",
        )
    return value


def _say(sentence: str) -> None:
    console().print(Text(sentence), soft_wrap=True)
