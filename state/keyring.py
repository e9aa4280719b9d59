"""The key ring: seals and opens secret values with AES-GCM, several keys, one of them current.

A sealed value is bound to its owner, name, version and key, so that a ciphertext moved to another row does not
open. The file is the only copy of the keys: a backup of the database without it cannot be read.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from state.errors import SecretMissing

_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A value that only the key ring can open: the nonce, then the ciphertext with its tag."""

    key_id: str
    ciphertext: bytes


@dataclass(slots=True)
class Keyring:
    """Keys by id. `path` None: only in memory, for tests and simulations."""

    current: str
    _keys: dict[str, bytes] = field(repr=False)
    path: Path | None = None

    @classmethod
    def in_memory(cls) -> Keyring:
        """A new ring of one key that is stored nowhere."""
        key_id, key = _new_key()
        return cls(key_id, {key_id: key})

    @classmethod
    def load_or_create(cls, path: Path) -> Keyring:
        """The ring in the file; a new one, written with mode 600, when there is none. Raises SecretMissing."""
        if not path.exists():
            key_id, key = _new_key()
            _create(path, _encode(key_id, {key_id: key}))
        return cls._load(path)

    @classmethod
    def _load(cls, path: Path) -> Keyring:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecretMissing(
                f"{path} holds keys and others may read it (mode {mode:o}); run `chmod 600 {path}`"
            )
        try:
            current, keys = _decode(path.read_bytes())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # the error's text could hold a piece of the file
            raise SecretMissing(
                f"{path} is not a key ring ({type(error).__name__}); restore it from a backup: without it no "
                f"stored secret can be read"
            ) from None
        return cls(current, keys, path)

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all keys that values may be sealed with."""
        return frozenset(self._keys)

    def seal(self, owner: str, name: str, version: int, value: str) -> Sealed:
        """Seal a value with the current key."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = _bound(owner, name, version, self.current)
        sealed = AESGCM(self._keys[self.current]).encrypt(nonce, value.encode(), bound)
        return Sealed(key_id=self.current, ciphertext=nonce + sealed)

    def open(self, owner: str, name: str, version: int, sealed: Sealed) -> str:
        """The value that was sealed for exactly that place. Raises SecretMissing, which says what to do."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise SecretMissing(
                f"the secret {name!r} of {owner} is sealed with key {sealed.key_id!r}, which {self._place} does "
                f"not hold; restore the key ring that belongs to this database from a backup"
            )
        nonce, ciphertext = sealed.ciphertext[:_NONCE_BYTES], sealed.ciphertext[_NONCE_BYTES:]
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, _bound(owner, name, version, sealed.key_id)).decode()
        except (InvalidTag, ValueError):
            raise SecretMissing(
                f"version {version} of the secret {name!r} of {owner} does not open with key {sealed.key_id!r}: "
                f"the row was changed or moved; restore it from a backup, or set the secret anew"
            ) from None

    def rotate(self) -> str:
        """Add a new key, make it the current one, write the file; the id of the new key."""
        key_id, key = _new_key()
        keys = {**self._keys, key_id: key}
        if self.path is not None:
            _replace(self.path, _encode(key_id, keys))
        self._keys, self.current = keys, key_id
        return key_id

    @property
    def _place(self) -> str:
        return str(self.path) if self.path is not None else "the key ring"


def _new_key() -> tuple[str, bytes]:
    # random ids: a ring made anew must not claim to hold the key of a lost one
    return f"k-{secrets.token_hex(4)}", secrets.token_bytes(_KEY_BYTES)


def _bound(owner: str, name: str, version: int, key_id: str) -> bytes:
    return json.dumps([owner, name, version, key_id]).encode()


def _encode(current: str, keys: Mapping[str, bytes]) -> bytes:
    texts = {key_id: base64.b64encode(key).decode() for key_id, key in keys.items()}
    return json.dumps({"current": current, "keys": texts}, indent=2).encode() + b"\n"


def _decode(content: bytes) -> tuple[str, dict[str, bytes]]:
    document: Any = json.loads(content)
    keys = {str(key_id): _key(text) for key_id, text in document["keys"].items()}
    current = document["current"]
    if current not in keys:
        raise ValueError("the current key is not among the keys")
    return current, keys


def _key(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != _KEY_BYTES:
        raise binascii.Error("a key has the wrong length")
    return key


def _create(path: Path, content: bytes) -> None:
    """Write the file only if there is none: of two that start at once, both end with the same ring."""
    new = _write_beside(path, content)
    try:
        path.hardlink_to(new)
    except FileExistsError:
        pass
    finally:
        new.unlink()
    _persist(path.parent)


def _replace(path: Path, content: bytes) -> None:
    _write_beside(path, content).replace(path)
    _persist(path.parent)


def _write_beside(path: Path, content: bytes) -> Path:
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return new


def _persist(folder: Path) -> None:
    # a rename survives a power cut only once its folder was written
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
