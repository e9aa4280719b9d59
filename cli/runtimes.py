"""`armillary runtime`: the virtual environments that deployments on this machine run from.

They are made when a deployment needs one. `add` makes one before; `remove` frees what nobody uses any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from cli import preflight
from cli.errors import Failed, NotFound, NotPermitted, Refused
from cli.home import Home, resolve
from cli.interruption import run
from cli.output import Format, console, show
from cli.session import HomeOption, OutputOption
from cli.waiting import until
from drivers.local.runtime import Lock, build_runtime, look_runtime, read_locks, runtime_folder, shipped_locks
from drivers.local.stock import InUseError, Runtime, remove, stock

app = typer.Typer(help="The runtimes of this machine's deployments.", no_args_is_help=True)

_COLUMNS = ("runtime", "image", "state", "size_mib", "used_by", "detail")
_BUILD_SECONDS = 1900.0  # a little longer than a build may take, which then says itself why it failed

NameArgument = Annotated[str, typer.Argument(metavar="RUNTIME", help="A name that `runtime list` shows.")]


@app.command("list")
def list_(*, output: OutputOption = Format.TABLE, home: HomeOption = None) -> None:
    """Show the runtimes that are there or on offer, how big they are, and which deployments use them."""
    rows = [_row(one) for one in _stock(resolve(home))]
    show(rows, output, rows=[{**row, "used_by": ", ".join(row["used_by"])} for row in rows], columns=_COLUMNS)


@app.command()
def add(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="For example airflow:3.3.2 or valkey:9.1.2.")],
    *,
    home: HomeOption = None,
) -> None:
    """Make a runtime now, so that the first deployment that needs it does not wait for it."""
    place = resolve(home)
    lock = _offered(image)
    preflight.check_home(place)
    preflight.check_space(place, preflight.free_bytes)
    run(_build(place, lock))
    console().print(Text(f"{lock.title} is ready in {place.runtimes / runtime_folder(lock)}"))


@app.command("remove")
def remove_(name: NameArgument, *, home: HomeOption = None) -> None:
    """Remove a runtime that no deployment uses. One that is needed again is made again."""
    place = resolve(home)
    known = [one.folder for one in _stock(place) if one.state.condition != "absent"]
    if name not in known:
        raise NotFound(f"There is no runtime {name!r}.", todo=f"There are: {', '.join(known) or 'none yet'}")
    try:
        freed = remove(place.path, name)
    except InUseError as error:
        raise Refused(f"{str(error)[0].upper()}{str(error)[1:]}.", where=str(place.runtimes)) from None
    except PermissionError as error:
        raise _not_permitted(error) from None
    console().print(Text(f"removed {name} ({freed // preflight.MIB} MiB)"))


async def _build(home: Home, lock: Lock) -> None:
    """Raises Failed with the end of the build's log."""
    build_runtime(home.path, lock)

    async def ready() -> bool | None:
        state = look_runtime(home.path, lock)
        if state.condition == "failed":
            raise Failed(f"{state.detail[0].upper()}{state.detail[1:]}")
        return state.condition == "ready" or None

    await until(f"the runtime of {lock.title}", ready, timeout_seconds=_BUILD_SECONDS)


def _stock(home: Home) -> tuple[Runtime, ...]:
    try:
        return stock(home.path, read_locks(shipped_locks()))
    except FileNotFoundError:
        raise NotFound(f"There is no home in {home.path}.", todo="Make one: armillary up") from None
    except InUseError as error:
        raise Failed(str(error)) from None
    except PermissionError as error:
        raise _not_permitted(error) from None


def _offered(image: str) -> Lock:
    locks: Mapping[str, Lock] = {one.image: one for one in read_locks(shipped_locks()).values()}
    if image not in locks:
        raise NotFound(f"There is no lock for {image!r}.", todo=f"There are: {', '.join(sorted(locks))}")
    return locks[image]


def _not_permitted(error: PermissionError) -> NotPermitted:
    return NotPermitted(f"{Path(str(error.filename))} is not ours to read.", todo="Run it as the daemon's user.")


def _row(one: Runtime) -> dict[str, Any]:
    return {
        "runtime": one.folder,
        "image": one.image,
        "state": one.state.condition,
        "size_mib": one.size_bytes // preflight.MIB,
        "used_by": list(one.used_by),
        "detail": "" if one.state.condition == "absent" else one.state.detail,
    }
