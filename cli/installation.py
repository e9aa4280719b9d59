"""The small files that make a folder an installation: its identity, its database's URL, its first token.

Private files are made with mode 600 from their first byte, and replaced as a whole.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from pathlib import Path

from cli import store
from cli.errors import Failed, Refused
from cli.home import Home
from state.database import Database, connect
from state.keyring import Keyring
from state.tokens import Tokens

TOKEN_NAME = "first"  # noqa: S105 - what the token is called


def identify(home: Home) -> str:
    """The installation's identity, made on the first call and the same for ever. Raises Failed."""
    try:
        return str(json.loads(home.installation.read_text())["installation"])
    except FileNotFoundError:
        identity = str(uuid.uuid4())
        _write(home.installation, json.dumps({"installation": identity}) + "\n", mode=0o644)
        return identity
    except (ValueError, KeyError, TypeError):
        raise Failed(
            f"{home.installation} does not name the installation.",
            todo="Restore it from a backup: everything that runs is marked with that name.",
        ) from None


def remember_database(home: Home, url: str | None) -> None:
    """Keep the URL of the user's own server for later commands. Raises Refused when the state is elsewhere."""
    if url is None:
        return
    if (home.postgres / "data").exists():
        raise Refused(
            "This home keeps its state in its embedded PostgreSQL, so another database would forget the fleet.",
            where=str(home.postgres),
            todo="Leave out --database, or choose another home with --home.",
        )
    if not url.startswith(("postgresql://", "postgres://")):
        raise Refused("--database must be a URL like postgresql://user:password@host:5432/database.")
    _write(home.database, f"{url}\n", mode=0o600)


async def credentials(home: Home, url: str) -> None:
    """Make what only the first `up` makes: the key ring, and a token that the database knows."""
    with store.told():
        Keyring.load_or_create(home.keyring)
        database = await connect(url, application_name="armillary-up")
        try:
            await _token(home, database)
        finally:
            await database.close()


async def _token(home: Home, database: Database) -> None:
    # the token is tried, not only looked for: the database may be another one than when it was made
    tokens = Tokens(database)
    known = home.token.read_text().strip() if home.token.exists() else ""
    if known and await tokens.verify(known) is not None:
        return
    _write(home.token, await tokens.create(TOKEN_NAME) + "\n", mode=0o600)


def _write(path: Path, text: str, *, mode: int) -> None:
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    Path(new).chmod(mode)
    Path(new).replace(path)
