"""Sealed text: a secret's value that can be put into an SQL statement, because only the key ring opens it.

`armillary-sealed.v1.<key>.<owner>.<variable>.<base64>`. Whose it is stands in it readably, so that SQL refuses it
anywhere else; it is part of what is sealed too, so that changing it there helps nobody.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from model.names import Owner
from state.errors import InvalidSpec, SecretMissing
from state.keyring import Keyring, Sealed

PREFIX = "armillary-sealed."
BYTES_MAX = 131_072
"""What a variable's value may have, sealed text or not."""

_VERSION = "v1"
_NAME = "variable/"
_PARTS = 6


def write(keyring: Keyring, owner: Owner, variable: str, value: str) -> str:
    """The value as text for that variable of that owner. Raises InvalidSpec when it becomes too long."""
    sealed = keyring.seal_apart(str(owner), _NAME + variable, value)
    content = urlsafe_b64encode(sealed.ciphertext).decode().rstrip("=")
    text = f"{PREFIX}{_VERSION}.{sealed.key_id}.{owner}.{variable}.{content}"
    if len(text) > BYTES_MAX:
        most = BYTES_MAX * 3 // 4 // 1024
        raise InvalidSpec(
            f"The value of {variable} is too long to be sealed as text: at most about {most} KiB.",
            hint="Keep large values in a file or a secrets backend.",
        )
    return text


def is_sealed(text: str) -> bool:
    """True when a text says that it is sealed."""
    return text.startswith(PREFIX)


def read(keyring: Keyring, owner: str, name: str, text: str) -> str:
    """The value of sealed text that was written for `name` of an owner. Raises SecretMissing."""
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise SecretMissing("it is not whole; seal the value anew")
    try:
        content = urlsafe_b64decode(parts[-1] + "=" * (-len(parts[-1]) % 4))
    except ValueError:
        raise SecretMissing("it is not whole; seal the value anew") from None
    return keyring.open_apart(owner, name, Sealed(key_id=parts[2], ciphertext=content))
