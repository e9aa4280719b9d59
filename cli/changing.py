"""The commands that say what should be: `apply`, `delete`, `undelete`. Everything goes through the API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli import applying, completion, manifest
from cli.errors import Misused, NotFound
from cli.names import deployment_name, workspace_path
from cli.output import Format, console, show, table
from cli.session import HomeOption, OutputOption, asking

_STDIN = Path("-")
_CHANGE_COLUMNS = ("result", "kind", "name")


def apply(
    file: Annotated[
        list[Path],
        typer.Option("-f", "--file", help="A file that says what should exist; - for stdin. May be repeated."),
    ],
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Make what is in files so: create or change it, and say what became of each. Repeating it changes nothing."""
    items = [item for one in file for item in _read(one)]
    changes = asking(home, lambda api: applying.apply(api, items))
    rows = [change.as_row() for change in changes]
    if output is not Format.TABLE:
        show(rows, output, rows=(), columns=())
        return
    out = console()
    for change in changes:
        out.print(table([change.as_row()], _CHANGE_COLUMNS, head=False))
        for difference in change.differences:
            out.print(Text(f"    {difference}", style="bright_black"))
    out.print(Text(applying.summary(changes)))


def delete(
    name: Annotated[
        str,
        typer.Argument(metavar="WORKSPACE[/NAME]", autocompletion=completion.deployments, help="What to delete."),
    ],
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Ask for a deletion. A deployment stops at once, and can be undeleted until its grace is over."""
    if "/" not in name:
        asking(home, lambda api: api.delete(workspace_path(name)))
        _told({"workspace": name, "deleted": True}, output, f"workspace {name} is deleted")
        return
    path = deployment_name(name).path

    async def ask(api: Any) -> Any:
        answer = await api.delete(path)
        return answer if answer is not None else await api.get(path)

    found = asking(home, ask)
    until, kept = found.get("delete_after"), found.get("retain_until")
    _told(
        found,
        output,
        f"{name} stops now; its processes and files go at {until}, its database and volumes at {kept}\n"
        f"Until then: armillary undelete {name}",
    )


def undelete(
    name: Annotated[
        str, typer.Argument(metavar="WORKSPACE/NAME", autocompletion=completion.deployments, help="What to keep.")
    ],
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Take a deletion back, as long as its grace lasts."""
    path = deployment_name(name).path
    found = asking(home, lambda api: api.patch(path, {"deletion_requested_at": None}))
    _told(found, output, f"{name} is kept, and starts again")


def _told(document: Any, output: Format, sentence: str) -> None:
    if output is Format.TABLE:
        console().print(Text(sentence))
    else:
        show(document, output, rows=(), columns=())


def _read(file: Path) -> tuple[manifest.Item, ...]:
    if file == _STDIN:
        return manifest.read("stdin", sys.stdin.read(), Path.cwd())
    try:
        return manifest.read(str(file), file.read_text(), file.absolute().parent)
    except FileNotFoundError:
        raise NotFound(f"There is no file {file}.", where=f"looked in {Path.cwd()}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} cannot be read: {error}.") from None
