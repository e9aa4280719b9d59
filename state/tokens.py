"""API tokens: shown once, stored as a hash, verified by one statement.

A token is `arm_`, 256 random bits and a checksum, so that a mistyped one is told from a revoked one without
asking the store, and a scanner for leaked secrets can recognise one.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from state.database import Database

PREFIX = "arm_"

_RANDOM_BYTES = 32
_CHECKSUM_BYTES = 3
_CHECKSUM_CHARACTERS = 4
_LENGTH = len(PREFIX) + 43 + _CHECKSUM_CHARACTERS  # both parts in unpadded base64
_CACHE_SIZE = 1024
_CACHE_SECONDS = 5.0  # how long a token revoked elsewhere may still be accepted here


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A stored token. Its plain form is not known to anybody but whom it was given to."""

    id: int
    name: str
    created_at: datetime
    expires_at: datetime | None


# how long the answer may be kept is answered too, because only the database's clock knows when a token expires
_VERIFY = """\
SELECT id, name, created_at, expires_at,
       least(%(cache)s, extract(epoch FROM expires_at - clock_timestamp()))::float8
  FROM core.tokens
 WHERE sha256 = %(sha256)s AND revoked_at IS NULL
   AND (expires_at IS NULL OR expires_at > clock_timestamp())
"""


class Tokens:
    """The rows of `core.tokens`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._verified: OrderedDict[bytes, tuple[Token, float]] = OrderedDict()

    async def create(self, name: str, *, lifetime: timedelta | None = None) -> str:
        """A new token in its plain form, which is stored nowhere. `lifetime` None: until it is revoked."""
        plain = mint()
        await self._database.write_value(
            "INSERT INTO core.tokens (name, sha256, expires_at)"
            " VALUES (%(name)s, %(sha256)s, now() + %(lifetime)s::interval) RETURNING id",
            {"name": name, "sha256": _hash(plain), "lifetime": lifetime},
        )
        return plain

    async def verify(self, plain: str) -> Token | None:
        """The token, when it exists, is not revoked and has not expired. Raises Unreachable."""
        if not is_well_formed(plain):
            return None
        sha256 = _hash(plain)
        now = time.monotonic()
        token, until = self._verified.get(sha256, (None, 0.0))
        if token is not None and now < until:
            return token
        self._verified.pop(sha256, None)
        rows = await self._database.read(_VERIFY, {"sha256": sha256, "cache": _CACHE_SECONDS})
        return self._remember(sha256, rows[0], now) if rows else None

    async def list(self) -> tuple[Token, ...]:
        """Every token that is not revoked, the oldest first."""
        rows = await self._database.read(
            "SELECT id, name, created_at, expires_at FROM core.tokens WHERE revoked_at IS NULL ORDER BY id"
        )
        return tuple(_token(row) for row in rows)

    async def revoke(self, token_id: int) -> bool:
        """Revoke a token; False when there is no such token in force. Others accept it for some seconds more."""
        self._verified.clear()
        count: int = await self._database.write_value(
            "WITH revoked AS (UPDATE core.tokens SET revoked_at = now()"
            " WHERE id = %(id)s AND revoked_at IS NULL RETURNING id) SELECT count(*) FROM revoked",
            {"id": token_id},
        )
        self._verified.clear()  # again: one may have been verified while we revoked
        return count > 0

    def _remember(self, sha256: bytes, row: tuple[Any, ...], now: float) -> Token:
        token, seconds = _token(row[:4]), row[4]
        self._verified[sha256] = (token, now + seconds)
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return token


def mint() -> str:
    """A new plain token."""
    body = _text(secrets.token_bytes(_RANDOM_BYTES))
    return f"{PREFIX}{body}{_checksum(body)}"


def is_well_formed(plain: str) -> bool:
    """True when the text can be a token at all: prefix, length and checksum are right."""
    if len(plain) != _LENGTH or not plain.startswith(PREFIX) or not plain.isascii():
        return False
    body, checksum = plain[len(PREFIX) : -_CHECKSUM_CHARACTERS], plain[-_CHECKSUM_CHARACTERS:]
    return _checksum(body) == checksum


def _checksum(body: str) -> str:
    return _text(zlib.crc32(body.encode()).to_bytes(4, "big")[:_CHECKSUM_BYTES])


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _hash(plain: str) -> bytes:
    # a plain hash is enough: nobody guesses 256 random bits
    return hashlib.sha256(plain.encode()).digest()


def _token(row: tuple[Any, ...]) -> Token:
    token_id, name, created_at, expires_at = row
    return Token(id=token_id, name=name, created_at=created_at, expires_at=expires_at)
