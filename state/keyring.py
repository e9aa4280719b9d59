"""The key ring: seals and opens secret values with AES-GCM, several keys, one of them current.

A sealed value is bound to its owner, name, version and key, so that a ciphertext moved to another row does not
open. The file is the only copy of the keys: a backup of the database without it cannot be read. It is read again
whenever it was changed, so that a running daemon needs no restart to know a new key.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from state.errors import SecretMissing

_KEY_BYTES = 32
_NONCE_BYTES = 12

_log = structlog.get_logger(__name__)

Seen = tuple[int, int, int]
"""What tells one content of the file from another: inode, time of change, size."""


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
    _seen: Seen | None = None

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
        seen = _seen(path)  # before it is read: whoever changes it in between is noticed next time
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
        return cls(current, keys, path, seen)

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all keys that values may be sealed with."""
        return frozenset(self._keys)

    def seal(self, owner: str, name: str, version: int, value: str) -> Sealed:
        """Seal a value with the current key."""
        self.refresh()
        return self._seal(_bound(owner, name, version, self.current), value)

    def seal_apart(self, owner: str, name: str, value: str) -> Sealed:
        """Seal a value that is given a version later: bound to owner and name only, and opened by `open_apart`."""
        self.refresh()
        return self._seal(_bound(owner, name, None, self.current), value)

    def open(self, owner: str, name: str, version: int, sealed: Sealed) -> str:
        """The value that was sealed for exactly that place. Raises SecretMissing, which says what to do."""
        if not self.holds(sealed.key_id):
            raise SecretMissing(
                f"the secret {name!r} of {owner} is sealed with key {sealed.key_id!r}, which {self._place} does "
                f"not hold; restore the key ring that belongs to this database from a backup"
            )
        try:
            return self._open(_bound(owner, name, version, sealed.key_id), sealed)
        except (InvalidTag, ValueError):
            raise SecretMissing(
                f"version {version} of the secret {name!r} of {owner} does not open with key {sealed.key_id!r}: "
                f"the row was changed or moved; restore it from a backup, or set the secret anew"
            ) from None

    def open_apart(self, owner: str, name: str, sealed: Sealed) -> str:
        """The value that `seal_apart` sealed for that owner and name. Raises SecretMissing."""
        if not self.holds(sealed.key_id):
            raise SecretMissing(f"{self._place} does not hold the key {sealed.key_id!r}; seal the value anew")
        try:
            return self._open(_bound(owner, name, None, sealed.key_id), sealed)
        except (InvalidTag, ValueError):
            raise SecretMissing("it was changed, or sealed for another place; seal the value anew") from None

    def holds(self, key_id: str) -> bool:
        """True when the ring holds that key, or its file does by now."""
        if key_id not in self._keys:
            self.refresh()
        return key_id in self._keys

    def refresh(self) -> None:
        """Read the file again if it was changed. One that cannot be read is told and not taken."""
        if self.path is None or _seen(self.path) == self._seen:
            return
        try:
            fresh = self._load(self.path)
        except (SecretMissing, OSError) as error:
            _log.warning("key ring not read again", path=str(self.path), why=str(error))
            return
        self.current, self._keys, self._seen = fresh.current, fresh._keys, fresh._seen  # noqa: SLF001 - one of us

    def rotate(self) -> str:
        """Add a new key, make it the current one, write the file; the id of the new key.

        Whoever has the file open in a running daemon takes the new ring at the next value.
        """
        key_id, key = _new_key()
        with self._changing():
            self._put(key_id, {**self._keys, key_id: key})
        return key_id

    def forget(self, key_ids: Collection[str]) -> frozenset[str]:
        """Take keys out of the ring and its file, never the current one; those that were taken out."""
        with self._changing():
            gone = frozenset(self._keys.keys() & set(key_ids) - {self.current})
            if gone:
                self._put(self.current, {one: key for one, key in self._keys.items() if one not in gone})
        return gone

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Be the only one who changes the file, from its newest content on. A lost key is lost for ever."""
        if self.path is None:
            yield
            return
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            fresh = self._load(self.path)
            self.current, self._keys = fresh.current, fresh._keys  # noqa: SLF001 - one of us
            yield
        finally:
            os.close(descriptor)

    def _put(self, current: str, keys: dict[str, bytes]) -> None:
        if self.path is not None:
            _replace(self.path, _encode(current, keys))
            self._seen = _seen(self.path)
        self._keys, self.current = keys, current

    def _seal(self, bound: bytes, value: str) -> Sealed:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._keys[self.current]).encrypt(nonce, value.encode(), bound)
        return Sealed(key_id=self.current, ciphertext=nonce + sealed)

    def _open(self, bound: bytes, sealed: Sealed) -> str:
        nonce, ciphertext = sealed.ciphertext[:_NONCE_BYTES], sealed.ciphertext[_NONCE_BYTES:]
        return AESGCM(self._keys[sealed.key_id]).decrypt(nonce, ciphertext, bound).decode()

    @property
    def _place(self) -> str:
        return str(self.path) if self.path is not None else "the key ring"


def _new_key() -> tuple[str, bytes]:
    # random ids: a ring made anew must not claim to hold the key of a lost one
    return f"k-{secrets.token_hex(4)}", secrets.token_bytes(_KEY_BYTES)


def _seen(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _bound(owner: str, name: str, version: int | None, key_id: str) -> bytes:
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
