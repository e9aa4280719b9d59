"""The embedded PostgreSQL: a real server from a wheel, prepared in a folder of the home.

`prepare` makes everything a server needs and starts nothing: whoever calls it runs `Embedded.command` as
`Embedded.user`. It may be called again at any time, also while the server runs, and changes only what differs.

Folder `home/postgres`: `data/`, `socket/`, `binaries/<version>/`, `password` (600), `port`.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from state import embedded_files as files
from state.errors import CannotPrepare, Unreachable
from state.unprivileged import Unprivileged, require_reachable, unprivileged

SUPERUSER = "postgres"
DATABASE = "armillary"

_FREE_MIB_MIN = 512  # data folder and binaries take 75 MiB; a write-ahead log may grow to some hundred
_INITDB_TIMEOUT_SECONDS = 180.0
_ENV = {"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
_PORTS = range(15000, 20000)  # below the deployments' blocks (20000) and the ephemeral range (32768)
_PORT_ATTEMPTS = 100
_PROBE_INTERVAL_SECONDS = 0.05
_INITDB = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-instructions",
    f"--username={SUPERUSER}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A prepared server. `user` is the (uid, gid) to run `command` as, or None to run it as oneself."""

    folder: Path
    data: Path
    socket: Path
    port: int
    binaries: Path
    user: tuple[int, int] | None
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The superuser's URL of the state database, on the loopback."""
        return self.url_of(DATABASE)

    @property
    def command(self) -> list[str]:
        """The server in the foreground, logging to standard error; SIGINT stops it fast."""
        return [str(self.binaries / "postgres"), "-D", str(self.data)]

    @property
    def env(self) -> dict[str, str]:
        """The whole environment that the command needs."""
        return dict(_ENV)

    def url_of(self, database: str) -> str:
        """The superuser's URL of another database of this server."""
        return f"postgresql://{SUPERUSER}:{quote(self.password)}@127.0.0.1:{self.port}/{database}"

    async def wait_ready(self, timeout: float) -> None:  # noqa: ASYNC109 - the caller's bound, told in errors
        """Return once the server answers a query; raises Unreachable after `timeout` seconds."""
        why = "it never answered"
        try:
            async with asyncio.timeout(timeout):
                while (answer := await self._probe()) is not None:
                    why = answer
                    await asyncio.sleep(_PROBE_INTERVAL_SECONDS)
        except TimeoutError:
            raise Unreachable(
                f"the embedded PostgreSQL on port {self.port} was not ready after {timeout:g} s ({why}); "
                f"its log says more"
            ) from None

    async def _probe(self) -> str | None:
        try:
            async with await psycopg.AsyncConnection.connect(self.url, connect_timeout=5) as connection:
                await connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            # connection errors name the address and the reason, never the password; they carry no SQLSTATE
            why = str(error).strip()
            if "password authentication failed" in why:
                raise CannotPrepare(
                    f"the PostgreSQL on port {self.port} does not accept the password in "
                    f"{self.folder / 'password'}; restore that file, or find out whose server holds the port"
                ) from None
            return why.splitlines()[-1] if why else type(error).__name__
        return None


def prepare(home: Path, *, free_mib_min: int = _FREE_MIB_MIN) -> Embedded:
    """Make or complete the server's folder under `home`. Starts nothing. Raises CannotPrepare."""
    try:
        return _prepare(home.absolute(), free_mib_min)
    except OSError as error:
        raise CannotPrepare(
            f"cannot write {error.filename or home}: {error.strerror or error}; make {home} writable for the user "
            f"who runs armillary, or choose another home by ARMILLARY_HOME"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CannotPrepare(
            f"{Path(error.cmd[0]).name} took more than {error.timeout:g} s; is the disk stuck?"
        ) from error


def _prepare(home: Path, free_mib_min: int) -> Embedded:
    user = unprivileged()
    folder = files.make_folders(home, user)
    require_reachable(folder, user)
    version = files.wheel_version()
    data = folder / "data"
    if not files.is_initialised(data, version):
        files.require_space(folder, free_mib_min)
    binaries = files.install_binaries(folder, version, user)
    password = files.password(folder, user, data)
    socket = files.socket_folder(folder, user)
    if not data.exists():
        _initialise(folder, binaries, user)
    port = _port(folder, data, user)
    files.configure(data, port=port, socket=socket, user=user)
    return Embedded(
        folder=folder,
        data=data,
        socket=socket,
        port=port,
        binaries=binaries,
        user=(user.uid, user.gid) if user.drop else None,
        password=password,
    )


def _initialise(folder: Path, binaries: Path, user: Unprivileged) -> None:
    """Make the data folder beside its place and rename it, so that a half-made one is never taken for whole."""
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    initdb = (str(binaries / "initdb"), "-D", str(new), f"--pwfile={folder / 'password'}", *_INITDB)
    _run(user, initdb, folder)
    # a server in single-user mode needs no port, so the database is there before anybody could connect
    single = (str(binaries / "postgres"), "--single", "-D", str(new), "postgres")
    _run(user, single, folder, given=f"CREATE DATABASE {DATABASE}\n")
    new.rename(folder / "data")


def _run(user: Unprivileged, command: tuple[str, ...], folder: Path, given: str = "") -> None:
    done = user.run(command, cwd=folder, env=dict(_ENV), given=given, timeout=_INITDB_TIMEOUT_SECONDS)
    # postgres --single ends with 0 even when its statement failed, and says so on standard error
    if done.returncode != 0 or "ERROR:" in done.stderr:
        said = done.stderr.strip().splitlines()[-1:] or [f"it ended with {done.returncode}"]
        raise CannotPrepare(
            f"{Path(command[0]).name} could not make PostgreSQL's data folder in {folder}: {said[0]}"
        )


def _port(folder: Path, data: Path, user: Unprivileged) -> int:
    """The port chosen once for this home. Raises CannotPrepare when somebody else holds it now."""
    path = folder / "port"
    if not path.exists():
        port = _free_port()
        files.write(path, f"{port}\n", 0o644, user)
        return port
    port = files.read_port(path)
    holder = _holder(port) if files.server_pid(data) is None else None
    if holder is not None:
        raise CannotPrepare(
            f"port {port} of the embedded PostgreSQL is taken by {_describe(holder)}; stop that process, or write "
            f"another port into {path}"
        )
    return port


def _free_port() -> int:
    # random, so that two homes prepared on one machine before either server runs do not choose alike
    source = random.SystemRandom()
    for _ in range(_PORT_ATTEMPTS):
        port = source.choice(_PORTS)
        if _holder(port) is None:
            return port
    raise CannotPrepare(
        f"no free port found between {_PORTS.start} and {_PORTS.stop - 1} for the embedded PostgreSQL"
    )


def _holder(port: int) -> int | None:
    """The process listening on the port: None when it is free, 0 when it cannot be told who it is."""
    if not files.is_taken(port):
        return None
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return 0
    listening = psutil.CONN_LISTEN
    return next(
        (one.pid or 0 for one in connections if one.status == listening and one.laddr and one.laddr.port == port),
        0,
    )


def _describe(pid: int) -> str:
    if pid == 0:
        return "a process of another user"
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"process {pid}"
