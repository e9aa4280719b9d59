"""`armillary backup`, `armillary restore`: the state and its key ring in one sealed file, and the way back.

Both work on the state database, not through the API: a backup is wanted most when no daemon runs. The store is
imported when it is needed, so that other commands start without it.
"""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.errors import Refused
from cli.home import Home, resolve
from cli.output import console
from cli.session import HomeOption

if TYPE_CHECKING:
    from state.backup import Manifest

PASSPHRASE = "ARMILLARY_PASSPHRASE"  # noqa: S105 - the variable's name

DatabaseOption = Annotated[
    str | None, typer.Option(help="The state database's URL, if it is another one than the home's.")
]


def backup(
    file: Annotated[Path, typer.Argument(help="The file to write. It must not exist.")],
    *,
    database: DatabaseOption = None,
    home: HomeOption = None,
) -> None:
    """Write the state database and the key ring into one file that a passphrase opens."""
    from cli import store
    from state import backup as backups

    place = resolve(home)
    passphrase = _passphrase(confirm=True)
    with store.told():
        url = database or store.url_of(place)
        made = backups.write(url, file, passphrase, keyring=place.keyring, installation=place.installation)
    _say(f"{file} holds {_content(made)}. Without its passphrase nobody can read it, you neither.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that armillary backup wrote.")],
    *,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put aside the installation that is there: it is renamed, not dropped."),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only read the file, and check all of it.")] = False,
    database: DatabaseOption = None,
    home: HomeOption = None,
) -> None:
    """Restore a backup. The daemon then only looks, until: armillary takeover."""
    from cli import store
    from state import backup as backups

    place = resolve(home)
    passphrase = _passphrase(confirm=False)
    with store.told(), backups.opened(file, passphrase) as read:
        if check:
            _say(f"{file} is whole and holds {_content(read.manifest)}.")
            return
        _require_identity(place, read.installation, replace=replace)
        place.path.mkdir(parents=True, exist_ok=True, mode=0o711)
        done = backups.restore(database or store.url_of(place), read, replace=replace)
        backups.put_keyring(place.keyring, read.keyring)
        if read.installation is not None:
            place.installation.write_bytes(read.installation)
    _say(f"Restored {_content(done.manifest)}.")
    if done.kept:
        _say(f"What was there before is the database {done.kept}; drop it when you need it no more.")
    _say("Start the daemon: it only looks. See what is missing, then run: armillary takeover 'the reason'")


def _require_identity(place: Home, restored: bytes | None, *, replace: bool) -> None:
    """Raise Refused when this home is another installation: what runs is marked with its name."""
    there = place.installation.read_bytes() if place.installation.exists() else None
    if there is not None and restored is not None and there != restored and not replace:
        raise Refused(
            "This home is another installation than the backup's. Nothing was changed.",
            where=str(place.installation),
            todo="Restore into a new home (--home), or say --replace: what this home runs is then a stranger's.",
        )


def _passphrase(*, confirm: bool) -> str:
    if given := os.environ.get(PASSPHRASE):
        return given
    if not os.isatty(0):
        raise Refused("A passphrase is needed, and nobody can be asked.", todo=f"Set {PASSPHRASE}.")
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))


def _content(of: Manifest) -> str:
    return f"{of.deployments} deployments as of {of.made_at}, schema revision {of.revision}, {len(of.keys)} keys"


def _say(sentence: str) -> None:
    console().print(Text(sentence), soft_wrap=True)
