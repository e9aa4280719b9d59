"""Rotating the key that seals secrets: a new key for what comes, then everything that is there sealed anew.

In batches, each a transaction: whoever reads a secret meanwhile opens it by the one key or the other, and a
rotation that was cut off goes on where it was. What cannot be opened is left as it is, and counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from state.database import Database
from state.errors import Refused, SecretMissing
from state.keyring import Keyring, Sealed
from state.pool import Connection

BATCH = 100
"""Secrets in one transaction: their rows are locked for some milliseconds."""

_BEFORE_ALL = ("", "", "0")
_ROTATED = "SELECT core.rotate_key(%(key_id)s)"
_COUNT = "SELECT count(*) FROM core.secrets WHERE key_id <> %(key_id)s"
_USED = "SELECT DISTINCT key_id FROM core.secrets"
_TAKE = "SELECT * FROM core.reseal_take(%(key_id)s, %(most)s, %(beyond)s)"
_PUT = "SELECT core.reseal(%(owner)s, %(name)s, %(version)s, %(key_id)s, %(ciphertext)s)"

_Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rotation is: secrets sealed anew, those that still wait, and those that no key opens."""

    done: int
    left: int
    unopened: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rotations of one key ring over one store. Raises errors of `state.errors` only."""

    database: Database
    keyring: Keyring

    async def begin(self, *, actor: str) -> str:
        """Make a new key the current one; its id. The store is asked first: without it no key is made."""
        await self.database.read("SELECT 1")
        self.keyring.rotate()
        await self._say(actor)
        return self.keyring.current

    async def go_on(self, *, actor: str) -> AsyncIterator[Progress]:
        """Seal everything with the current key that is not; after each batch how far that is. The last has all."""
        await self._say(actor)  # a rotation may have been cut off between the ring and the store
        done = unopened = 0
        place: _Place | None = _BEFORE_ALL
        while place is not None:
            place, sealed, refused = await self._batch(place)
            done, unopened = done + sealed, unopened + refused
            count = await self.database.read_value(_COUNT, {"key_id": self.keyring.current})
            yield Progress(done=done, left=max(int(count) - unopened, 0), unopened=unopened)

    async def forget(self) -> frozenset[str]:
        """Take every key out of the ring that seals nothing any more; which. Raises Refused.

        A database dump made earlier cannot be opened afterwards, unless the ring was kept with it.
        """
        used = {key_id for (key_id,) in await self.database.read(_USED)}
        if used - {self.keyring.current}:
            raise Refused(
                f"{len(used - {self.keyring.current})} older keys still seal secrets; nothing was forgotten.",
                hint="Seal them anew first: armillary secret rotate-key --continue",
            )
        return self.keyring.forget(self.keyring.key_ids - used)

    async def _say(self, actor: str) -> None:
        """Tell the store which key is the current one; told already, it changes nothing."""

        async def work(connection: Connection) -> None:
            await connection.execute("SELECT set_config('armillary.actor', %s, true)", (actor,))
            await connection.execute(_ROTATED, {"key_id": self.keyring.current})

        await self.database.write(work)

    async def _batch(self, beyond: _Place) -> tuple[_Place | None, int, int]:
        """Seal a batch anew: where it ended (None: there was nothing), how many were sealed, and were not."""

        async def work(connection: Connection) -> tuple[_Place | None, int, int]:
            self.keyring.refresh()
            asked = {"key_id": self.keyring.current, "most": BATCH, "beyond": list(beyond)}
            taken = await (await connection.execute(_TAKE, asked)).fetchall()
            place, sealed = None, 0
            for owner, name, version, key_id, ciphertext in taken:
                place = (owner, name, str(version))
                sealed += await self._one(connection, place, Sealed(key_id=key_id, ciphertext=bytes(ciphertext)))
            return place, sealed, len(taken) - sealed

        return await self.database.write(work)

    async def _one(self, connection: Connection, place: _Place, was: Sealed) -> bool:
        owner, name, version = place[0], place[1], int(place[2])
        try:
            value = self.keyring.open(owner, name, version, was)
        except SecretMissing:
            return False
        now = self.keyring.seal(owner, name, version, value)
        await connection.execute(
            _PUT,
            {
                "owner": owner,
                "name": name,
                "version": version,
                "key_id": now.key_id,
                "ciphertext": now.ciphertext,
            },
        )
        return True
