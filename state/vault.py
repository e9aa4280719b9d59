"""A file that only a passphrase opens: scrypt makes the key, AES-GCM seals the content in pieces.

Each piece is bound to the header, to its place and to whether it is the last, so that a file that was cut off,
reordered or changed anywhere does not open. Layout: a line that names the format, a line of JSON that says how the
key is made, then the pieces.
"""

from __future__ import annotations

import io
import json
import secrets
from base64 import b64decode, b64encode
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from state.errors import Refused

MAGIC = b"ARMILLARY BACKUP 1\n"
PASSPHRASE_LENGTH_MIN = 8

_PIECE_BYTES = 1 << 20
_TAG_BYTES = 16
_PREFIX_BYTES = 7
_HEADER_BYTES_MAX = 4096
_COST_LOG2, _BLOCK, _PARALLEL = 16, 8, 1  # 64 MiB and about a quarter of a second for each guess
_COST_LOG2_MAX = 20


class Sealing(io.RawIOBase):
    """Writes what is given into a sealed file. Close it to end it: a file without its end does not open."""

    def __init__(self, target: IO[bytes], passphrase: str) -> None:
        super().__init__()
        _require_passphrase(passphrase)
        salt, prefix = secrets.token_bytes(16), secrets.token_bytes(_PREFIX_BYTES)
        how = {"scrypt": [_COST_LOG2, _BLOCK, _PARALLEL], "salt": _text(salt), "prefix": _text(prefix)}
        self._header = MAGIC + json.dumps(how).encode() + b"\n"
        self._cipher = _cipher(passphrase, salt, _COST_LOG2, _BLOCK, _PARALLEL)
        self._prefix = prefix
        self._target = target
        self._waiting = bytearray()
        self._place = 0
        target.write(self._header)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Keep these bytes; whole pieces are sealed at once."""
        self._waiting += data
        while len(self._waiting) > _PIECE_BYTES:  # never the last one: only the end knows which that is
            self._seal(bytes(self._waiting[:_PIECE_BYTES]), is_last=False)
            del self._waiting[:_PIECE_BYTES]
        return len(data)

    def finish(self) -> None:
        """Seal the last piece."""
        self._seal(bytes(self._waiting), is_last=True)
        self._waiting.clear()

    def _seal(self, piece: bytes, *, is_last: bool) -> None:
        nonce = _nonce(self._prefix, self._place, is_last=is_last)
        self._target.write(self._cipher.encrypt(nonce, piece, self._header))
        self._place += 1


def unseal(source: Path, passphrase: str, target: IO[bytes]) -> None:
    """Open a whole sealed file into another one. Raises Refused for a wrong passphrase or a damaged file."""
    with source.open("rb") as sealed:
        header, cipher, prefix = _opened(sealed, passphrase, source)
        place, piece = 0, sealed.read(_PIECE_BYTES + _TAG_BYTES)
        while True:
            following = sealed.read(_PIECE_BYTES + _TAG_BYTES)
            nonce = _nonce(prefix, place, is_last=not following)
            try:
                target.write(cipher.decrypt(nonce, piece, header))
            except (InvalidTag, ValueError):
                raise Refused(_unopened(source, place)) from None
            if not following:
                return
            place, piece = place + 1, following


def _unopened(source: Path, place: int) -> str:
    if place == 0:
        return (
            f"{source} does not open: the passphrase is another one, or the file is damaged. Nothing was changed."
        )
    return f"{source} is damaged or cut off after {place} MiB. Nothing was changed; take another backup's file."


def _opened(sealed: IO[bytes], passphrase: str, source: Path) -> tuple[bytes, AESGCM, bytes]:
    magic = sealed.read(len(MAGIC))
    if magic != MAGIC:
        raise Refused(f"{source} is no backup of Armillary, or one of a newer release. Nothing was changed.")
    line = sealed.readline(_HEADER_BYTES_MAX)
    try:
        how = json.loads(line)
        cost, block, parallel = (int(one) for one in how["scrypt"])
        salt, prefix = b64decode(how["salt"]), b64decode(how["prefix"])
        is_bearable = 1 <= cost <= _COST_LOG2_MAX and 1 <= block <= _BLOCK and 1 <= parallel <= _PARALLEL
        if not is_bearable or len(prefix) != _PREFIX_BYTES:
            raise _unreadable(source)
    except (ValueError, KeyError, TypeError):
        raise _unreadable(source) from None
    return magic + line, _cipher(passphrase, salt, cost, block, parallel), prefix


def _unreadable(source: Path) -> Refused:
    return Refused(f"{source} is damaged: its header cannot be read. Nothing was changed.")


def _cipher(passphrase: str, salt: bytes, cost_log2: int, block: int, parallel: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << cost_log2, r=block, p=parallel).derive(passphrase.encode()))


def _nonce(prefix: bytes, place: int, *, is_last: bool) -> bytes:
    return prefix + place.to_bytes(4, "big") + bytes([is_last])


def _require_passphrase(passphrase: str) -> None:
    if len(passphrase) < PASSPHRASE_LENGTH_MIN:
        raise Refused(
            f"The passphrase is shorter than {PASSPHRASE_LENGTH_MIN} characters: it would be guessed.",
            hint="Take a few words that nobody knows, and keep them apart from the file.",
        )


def _text(value: bytes) -> str:
    return b64encode(value).decode()
