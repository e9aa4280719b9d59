"""Backups: the state database and the key ring in one sealed file, and the way back.

A restore reads and checks everything, and fills a database beside the present one, before it touches anything:
what was there stays under another name. What is restored is held until somebody takes over, because the world may
have gone on since.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from state import dumps, vault
from state.errors import Refused, StateError, translate
from state.keyring import Keyring
from state.migrate import redefine
from state.revisions import revisions

_CONNECT_SECONDS = 10
_NAME_BYTES_MAX = 63

Session = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds. `change` is the newest change of desired state, `rows` how many each table has."""

    made_at: str
    revision: str
    server: int
    change: list[Any]
    rows: Mapping[str, int]
    keys: list[str]
    deployments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A backup that was read and checked, in a folder that goes when it is closed."""

    manifest: Manifest
    dump: Path
    keyring: bytes
    installation: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore has done. `kept` names the database that was there before; empty: there was none."""

    manifest: Manifest
    kept: str


def write(url: str, target: Path, passphrase: str, *, keyring: Path, installation: Path) -> Manifest:
    """Write a backup, whole or not at all, with mode 600. Raises Refused, SecretMissing, StateError."""
    if target.exists():
        raise Refused(f"{target} exists already, and a backup overwrites nothing.", hint="Choose another name.")
    with _told(), tempfile.TemporaryDirectory(prefix="armillary-backup-") as folder:
        dump = Path(folder) / "state.dump"
        manifest = _dump(url, dump)
        # read after the snapshot was taken: keys are only ever added, so this ring opens all that the dump holds
        ring = _ring(keyring)
        if missing := sorted(set(manifest.keys) - ring.key_ids):
            raise Refused(
                f"{keyring} does not hold {', '.join(missing)}, by which secrets of this database are sealed.",
                hint="Put the right key ring there first: a backup without it could not be read.",
            )
        parts = {
            "manifest.json": json.dumps(asdict(manifest), indent=2).encode(),
            "keyring.json": keyring.read_bytes(),
        }
        if installation.exists():
            parts["installation.json"] = installation.read_bytes()
        _seal(target, passphrase, parts, dump)
    return manifest


def _dump(url: str, target: Path) -> Manifest:
    with _session(url) as session, session.transaction():
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        manifest = _manifest(session)
        dumps.dump(url, target, snapshot=_value(session, "SELECT pg_export_snapshot()"))
    return manifest


def _manifest(session: Session) -> Manifest:
    return Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        revision=_value(session, "SELECT version_num FROM schema_version"),
        server=session.info.server_version,
        change=_value(session, "SELECT core.newest_change()"),
        rows=_rows(session),
        keys=[one for (one,) in session.execute("SELECT DISTINCT key_id FROM core.secrets ORDER BY 1")],
        deployments=_value(session, "SELECT count(*) FROM core.deployments"),
    )


def _rows(session: Session) -> dict[str, int]:
    tables = session.execute(
        "SELECT c.relname::text FROM pg_class c"
        " WHERE c.relnamespace = 'core'::regnamespace AND c.relkind IN ('r', 'p') AND c.relpersistence = 'p'"
        " ORDER BY 1"
    ).fetchall()
    counted = sql.SQL("SELECT count(*) FROM core.{}")
    return {name: _value(session, counted.format(sql.Identifier(name))) for (name,) in tables}


def _seal(target: Path, passphrase: str, parts: Mapping[str, bytes], dump: Path) -> None:
    new = target.with_name(f".{target.name}.new")
    with suppress(FileNotFoundError):
        new.unlink()
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            sealing = vault.Sealing(file, passphrase)
            with tarfile.open(fileobj=sealing, mode="w|") as archive:
                for name, content in parts.items():
                    _add(archive, name, content)
                archive.add(dump, "state.dump")
            sealing.finish()
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror}.", hint="Choose another place.") from None
    finally:
        new.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))


@contextmanager
def opened(source: Path, passphrase: str) -> Iterator[Opened]:
    """Read a backup and check all of it. Raises Refused, which says what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="armillary-restore-") as name:
        folder = Path(name)
        try:
            with (folder / "all.tar").open("wb") as plain:
                vault.unseal(source, passphrase, plain)
        except OSError as error:
            raise Refused(f"{source} cannot be read: {error.strerror}.") from None
        with tarfile.open(folder / "all.tar") as archive:
            archive.extractall(folder, filter="data")
        yield _checked(folder, source)


def _checked(folder: Path, source: Path) -> Opened:
    manifest = Manifest(**json.loads((folder / "manifest.json").read_text()))
    if manifest.revision not in revisions():
        raise Refused(
            f"{source} was made by a newer release of Armillary (schema revision {manifest.revision}, newest "
            f"known here {max(revisions())}). Nothing was changed.",
            hint="Install that release, and restore with it.",
        )
    dumps.listed(folder / "state.dump")
    (folder / "keyring.json").chmod(0o600)
    if missing := sorted(set(manifest.keys) - _ring(folder / "keyring.json").key_ids):
        raise Refused(f"The key ring in {source} does not hold {', '.join(missing)}. Nothing was changed.")
    place = folder / "installation.json"
    return Opened(
        manifest=manifest,
        dump=folder / "state.dump",
        keyring=(folder / "keyring.json").read_bytes(),
        installation=place.read_bytes() if place.exists() else None,
    )


def restore(url: str, backup: Opened, *, replace: bool) -> Restored:
    """Make the database of this URL what the backup holds, migrated and held. Raises Refused, StateError.

    `replace`: an installation that is there may be put aside. It is renamed, never dropped.
    """
    target = str(conninfo_to_dict(url).get("dbname") or "")
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    beside, kept = _named(target, f"restoring_{stamp}"), _named(target, f"before_{stamp}")
    with _told(), _session(_of(url, "postgres")) as server:
        there = _require_free(server, url, target, replace=replace)
        _execute(server, "CREATE DATABASE {} TEMPLATE template0", beside)
        try:
            _fill(_of(url, beside), backup)
            with server.transaction():
                if there:
                    _execute(server, "ALTER DATABASE {} RENAME TO {}", target, kept)
                _execute(server, "ALTER DATABASE {} RENAME TO {}", beside, target)
        except BaseException:
            _execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", beside)
            raise
    return Restored(manifest=backup.manifest, kept=kept if there else "")


def _fill(url: str, backup: Opened) -> None:
    """Restore, compare with what the backup says of itself, bring to this release, hold."""
    dumps.restore(url, backup.dump)
    with _session(url) as session:
        found = {"rows": _rows(session), "change": _value(session, "SELECT core.newest_change()")}
    if found != {"rows": backup.manifest.rows, "change": backup.manifest.change}:
        raise StateError("what was restored is not what the backup says it holds; nothing was overwritten")
    redefine(url)
    with _session(url) as session:
        session.execute("UPDATE core.installation SET restored_at = now()")


def _require_free(server: Session, url: str, target: str, *, replace: bool) -> bool:
    """True when the database is there and may be put aside. Raises Refused."""
    if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (target,)).fetchone() is None:
        return False
    _require_alone(server, target)
    with _session(_of(url, target)) as session:
        if _value(session, "SELECT to_regclass('core.deployments')") is not None and not replace:
            many = _value(session, "SELECT count(*) FROM core.deployments")
            raise Refused(
                f"The database {target} holds an installation with {many} deployments already. "
                "Nothing was changed.",
                hint="To put it aside (it is renamed, not dropped): armillary restore --replace FILE",
            )
    return True


def _require_alone(server: Session, target: str) -> None:
    others = server.execute(
        "SELECT format('process %%s (%%s)', pid, coalesce(nullif(application_name, ''), usename::text))"
        " FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() ORDER BY pid LIMIT 5",
        (target,),
    ).fetchall()
    if others:
        raise Refused(
            f"The database {target} is in use by {', '.join(one for (one,) in others)}. Nothing was changed.",
            hint="Stop the daemon and close psql; deployments run on meanwhile.",
        )


def put_keyring(path: Path, restored: bytes) -> None:
    """Let the key ring hold the restored keys too. Keys are added, and what was there is kept beside it."""
    if not path.exists():
        _write_private(path, restored)
        return
    present, given = json.loads(path.read_bytes()), json.loads(restored)
    if set(given["keys"]) <= set(present["keys"]):
        return
    _write_private(path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%d%H%M%S}"), path.read_bytes())
    both = {**given, **present, "keys": {**given["keys"], **present["keys"]}}
    _write_private(path, json.dumps(both, indent=2).encode() + b"\n")


def _write_private(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _ring(path: Path) -> Keyring:
    if not path.exists():
        raise Refused(
            f"There is no key ring at {path}: a backup without it could not be read.",
            hint="Give the home of the daemon with --home.",
        )
    return Keyring.load_or_create(path)


def _named(target: str, what: str) -> str:
    return f"{target[: _NAME_BYTES_MAX - len(what) - 1]}_{what}"


def _of(url: str, database: str) -> str:
    return make_conninfo(url, dbname=database)


@contextmanager
def _session(url: str) -> Iterator[Session]:
    with psycopg.connect(
        url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="armillary backup"
    ) as session:
        yield session


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from None


def _execute(session: Session, statement: str, *names: str) -> None:
    session.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _value(session: Session, statement: Any) -> Any:
    row = session.execute(statement).fetchone()
    return row[0] if row else None
