"""The user that the embedded PostgreSQL runs as.

PostgreSQL refuses to run as root, so root drops to a system user of its own, made once. An ordinary user runs it
as itself. This module finds or makes that user and proves that it can reach a folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from state.errors import CannotPrepare

_NAME = "armillary"
_COMMAND_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprivileged:
    """A user by numbers. `drop` is False when this process already is that user."""

    uid: int
    gid: int
    drop: bool

    def own(self, path: Path) -> None:
        """Give a file or folder to the user; nothing to do when we are that user."""
        if self.drop:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def run(
        self, command: tuple[str, ...], *, cwd: Path, env: dict[str, str], given: str = "", timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as the user, with `given` on its standard input; raises subprocess.TimeoutExpired."""
        return subprocess.run(
            command,
            cwd=cwd,
            env=env,
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            user=self.uid if self.drop else None,
            group=self.gid if self.drop else None,
            extra_groups=[] if self.drop else None,
        )


def unprivileged() -> Unprivileged:
    """The user PostgreSQL runs as; made by `useradd` when we are root. Raises CannotPrepare."""
    uid = os.geteuid()
    if uid == 0:
        entry = _entry(_NAME) or _make()
        return Unprivileged(uid=entry.pw_uid, gid=entry.pw_gid, drop=True)
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise CannotPrepare(
            f"the user id {uid} has no entry in /etc/passwd, and PostgreSQL refuses to run as such a user; "
            f"add an entry, run as another user, or use a server of your own with --database postgresql://…"
        ) from None
    return Unprivileged(uid=uid, gid=os.getegid(), drop=False)


def require_reachable(folder: Path, user: Unprivileged) -> None:
    """Raise CannotPrepare, naming the first folder on the way that the user may not enter."""
    if not user.drop:
        return
    for one in (*reversed(folder.parents), folder):
        if not _enters(one, user):
            raise CannotPrepare(
                f"PostgreSQL may not run as root and drops to the user {_NAME!r}, who cannot enter {one} "
                f"(on the way to {folder}); allow it with `chmod o+x {one}`, or choose another home by "
                f"ARMILLARY_HOME"
            )


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _make() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is None:
        raise _cannot_make("there is no `useradd` on this machine")
    command = (useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _NAME)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT_SECONDS)
    entry = _entry(_NAME)  # somebody else may have made it in between, whatever useradd said
    if entry is None:
        raise _cannot_make(done.stderr.strip() or f"useradd ended with {done.returncode}")
    return entry


def _cannot_make(why: str) -> CannotPrepare:
    return CannotPrepare(
        f"PostgreSQL may not run as root and the system user {_NAME!r} to drop to could not be made: {why}; "
        f"make that user yourself, run as an ordinary user, or use a server of your own with "
        f"--database postgresql://…"
    )


def _enters(folder: Path, user: Unprivileged) -> bool:
    # the kernel is asked, as that user: mode bits alone do not know of access control lists
    command = ("/bin/sh", "-c", 'test -x "$1"', "sh", str(folder))
    env = {"PATH": "/usr/bin:/bin"}
    return user.run(command, cwd=Path("/"), env=env, timeout=_COMMAND_TIMEOUT_SECONDS).returncode == 0
