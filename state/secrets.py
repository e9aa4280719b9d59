"""Secrets in the store: minted once, sealed before they are stored, opened only where a driver encodes a write.

Generated values are never generated again: a pass that finds one missing and one that finds it there do the same.
Values written in plain SQL wait in an inbox that never reaches the write-ahead log, until they are sealed here;
then the inbox gets a new file, because what is deleted stays in the old one.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from secrets import randbelow

from model.names import Owner, SecretRef
from state import sealed_text
from state.database import Database
from state.errors import SecretMissing
from state.keyring import Keyring, Sealed
from state.pool import Connection

_CACHE_SIZE = 256  # values in memory at most; a version never changes, so none is ever stale
_INBOX_BATCH = 20  # of values of 128 KiB: what the server sorts of them stays in its memory, and out of its files
_BATCHES_MAX = 20  # at once; the others at the next look

_IS_WAITING = "SELECT EXISTS (SELECT FROM core.secret_inbox), pg_relation_size('core.secret_inbox') > 0"
_SCRUB = "SELECT core.scrub_inbox()"
_REFUSE = "SELECT core.refuse_sealed(%(id)s, %(why)s)"
_TAKE = """\
SELECT t.id, t.owner, t.name, t.version, t.value, s.version, s.key_id, s.ciphertext,
       (SELECT count(*) FROM core.secret_inbox e
         WHERE e.owner = t.owner AND e.name = t.name AND e.id < t.id)
  FROM core.inbox_take(%(most)s) AS t
  LEFT JOIN LATERAL (
       SELECT k.version, k.key_id, k.ciphertext FROM core.secrets k
        WHERE k.owner = t.owner AND k.name = t.name ORDER BY k.version DESC LIMIT 1) AS s ON true
 ORDER BY t.id
"""
# as `core.seal` does: the version is set by us, and whoever wrote the value is who acts
_DROP = """\
WITH dropped AS (DELETE FROM core.secret_inbox WHERE id = %(id)s RETURNING actor)
SELECT set_config('armillary.sealing', 'yes', true), set_config('armillary.actor', actor, true) FROM dropped
"""
_REFER = """\
UPDATE core.variables v SET version = %(version)s FROM core.deployments d
 WHERE d.owner = %(owner)s AND v.deployment_id = d.id AND 'variable/' || v.key = %(name)s
   AND v.secret AND v.version < %(version)s
"""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A row of the inbox, beside the newest sealed version of its name and the rows that came before it."""

    id: int
    owner: str
    name: str
    version: int
    value: str = field(repr=False)
    newest: int | None
    key_id: str | None
    ciphertext: bytes | None
    earlier: int


class _Batch:
    """What is the newest value of each secret while the rows of one batch are gone through in their order."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._newest: dict[tuple[str, str], tuple[int | None, str | None]] = {}
        self._seen: Counter[tuple[str, str]] = Counter()

    def version_that_holds(self, waiting: _Waiting) -> int | None:
        """The version that holds the row's value already; None when it must be sealed."""
        place = (waiting.owner, waiting.name)
        version, value = self._newest.get(place) or (waiting.newest, self._opened(waiting))
        # an earlier row in another daemon's hands may hold another value: then nothing is known
        all_seen = waiting.earlier == self._seen[place]
        self._seen[place] += 1
        if all_seen and version is not None and value == waiting.value:
            return version
        self._newest[place] = (waiting.version, waiting.value)
        return None

    def _opened(self, waiting: _Waiting) -> str | None:
        if waiting.newest is None or waiting.key_id is None or waiting.ciphertext is None:
            return None
        sealed = Sealed(key_id=waiting.key_id, ciphertext=bytes(waiting.ciphertext))
        try:
            return self._keyring.open(waiting.owner, waiting.name, waiting.newest, sealed)
        except SecretMissing:
            return None  # a version that nobody can open is replaced by one that can be


def _first_version() -> int:
    """The version that a generated secret begins with: its thousands are drawn by lot.

    What is generated anew where a backup has lost it must not come again under a version that the world knows: no
    object would differ, and nobody would be told the new value.
    """
    return 1 + 1000 * randbelow(1_000_000)


class Secrets:
    """The sealed values in the store, through a key ring."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._opened: OrderedDict[SecretRef, str] = OrderedDict()

    async def mint(self, owner: Owner, values: Mapping[str, str]) -> Mapping[str, int]:
        """Store the values whose names the owner has no secret for; the newest version of each name.

        Existing secrets are left as they are, whatever value is given.
        """

        async def work(connection: Connection) -> dict[str, int]:
            return {
                # sorted, so that two passes lock the same rows in the same order
                name: await self._mint_one(connection, str(owner), name, values[name])
                for name in sorted(values)
            }

        return await self._database.write(work)

    async def reveal(self, secret: SecretRef) -> str:
        """The value of one version of a secret. Raises SecretMissing, saying what to do, or Unreachable."""
        if secret in self._opened:
            self._opened.move_to_end(secret)
            return self._opened[secret]
        value = self._keyring.open(secret.owner, secret.name, secret.version, await self._sealed(secret))
        self._opened[secret] = value
        if len(self._opened) > _CACHE_SIZE:
            self._opened.popitem(last=False)
        return value

    async def seal_inbox(self) -> frozenset[Owner]:
        """Seal what was written in plain SQL, some hundred values at most; the owners whose secrets changed.

        A value that is the newest one already makes no new version, so that writing the same again restarts
        nothing. Two daemons may seal at once: each takes other rows. Sealed text that does not open is dropped,
        and told as an event.
        """
        # nearly always empty: seeing that costs one question, taking nothing costs a transaction
        ((is_waiting, is_stained),) = await self._database.read(_IS_WAITING)
        changed: set[Owner] = set()
        for _ in range(_BATCHES_MAX if is_waiting else 0):
            taken, of_batch = await self._database.write(self._seal_batch)
            changed |= of_batch
            if taken < _INBOX_BATCH:
                break
        if is_waiting or is_stained:
            await self._database.write_value(_SCRUB)
        return frozenset(changed)

    async def _seal_batch(self, connection: Connection) -> tuple[int, set[Owner]]:
        """Seal what waits longest: how many values, and the owners whose secrets changed."""
        rows = await (await connection.execute(_TAKE, {"most": _INBOX_BATCH})).fetchall()
        batch = _Batch(self._keyring)
        changed: set[Owner] = set()
        for row in rows:
            try:
                waiting = self._unsealed(_Waiting(*row))
            except SecretMissing as error:
                await connection.execute(_REFUSE, {"id": row[0], "why": str(error)})
                continue
            if (version := batch.version_that_holds(waiting)) is not None:
                await self._keep(connection, waiting, version)
            else:
                await self._seal(connection, waiting)
                changed.add(Owner.parse(waiting.owner))
        return len(rows), changed

    def _unsealed(self, waiting: _Waiting) -> _Waiting:
        """The row with its plain value. Raises SecretMissing for sealed text that does not open."""
        if not sealed_text.is_sealed(waiting.value):
            return waiting
        value = sealed_text.read(self._keyring, waiting.owner, waiting.name, waiting.value)
        return replace(waiting, value=value)

    async def _seal(self, connection: Connection, waiting: _Waiting) -> None:
        sealed = self._keyring.seal(waiting.owner, waiting.name, waiting.version, waiting.value)
        await connection.execute(
            "SELECT core.seal(%(id)s, %(key_id)s, %(ciphertext)s)",
            {"id": waiting.id, "key_id": sealed.key_id, "ciphertext": sealed.ciphertext},
        )

    async def _keep(self, connection: Connection, waiting: _Waiting, version: int) -> None:
        """Empty the inbox of a value that is sealed already; a variable made anew refers to it again."""
        await connection.execute(_DROP, {"id": waiting.id})
        await connection.execute(_REFER, {"owner": waiting.owner, "name": waiting.name, "version": version})
        await connection.execute("SELECT set_config('armillary.sealing', '', true)")

    async def _mint_one(self, connection: Connection, owner: str, name: str, value: str) -> int:
        first = _first_version()
        sealed = self._keyring.seal(owner, name, first, value)
        cursor = await connection.execute(
            "SELECT core.mint(%(owner)s, %(name)s, %(key_id)s, %(ciphertext)s, %(first)s)",
            {
                "owner": owner,
                "name": name,
                "key_id": sealed.key_id,
                "ciphertext": sealed.ciphertext,
                "first": first,
            },
        )
        ((version,),) = await cursor.fetchall()
        return int(version)

    async def _sealed(self, secret: SecretRef) -> Sealed:
        rows = await self._database.read(
            "SELECT key_id, ciphertext FROM core.secrets"
            " WHERE owner = %(owner)s AND name = %(name)s AND version = %(version)s",
            {"owner": secret.owner, "name": secret.name, "version": secret.version},
        )
        if not rows:
            raise SecretMissing(
                f"version {secret.version} of the secret {secret.name!r} of {secret.owner} is not in the store; "
                f"it was never sealed or its row was removed: set it anew, or restore the database"
            )
        ((key_id, ciphertext),) = rows
        return Sealed(key_id=key_id, ciphertext=bytes(ciphertext))
