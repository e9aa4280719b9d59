"""Digests of values: two values are the same iff their digests are the same.

The canonical form is sorted JSON of the value with the class names of its parts, so that a `SecretRef` and an
equal-looking string differ. No secret value is ever part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum

_DIGEST_CHARACTERS = 24  # 96 bits: no accidental collision, short enough to read in a table


_PLAIN = frozenset({str, int, float, bool})


_FIELDS: dict[type, tuple[str, ...] | None] = {}


def _fields_of(kind: type) -> tuple[str, ...] | None:
    """The names of a dataclass's fields; None for any other class. Asked hundreds of times a rendering."""
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(one.name for one in fields(kind)) if is_dataclass(kind) else None
    return _FIELDS[kind]


def canonical(value: object) -> object:
    """The value as JSON-ready data, the same for equal values whatever their order in mappings or sets."""
    if value is None or type(value) in _PLAIN:
        return value
    names = _fields_of(type(value))
    if names is not None:
        return {"": type(value).__name__, **{name: canonical(getattr(value, name)) for name in names}}
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, AbstractSet):
        return sorted((canonical(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(value, tuple | list):
        return [canonical(one) for one in value]
    if isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be part of a digest")


def digest(*values: object) -> str:
    """24 hexadecimal characters of SHA-256 over the canonical form of the values."""
    encoded = json.dumps([canonical(one) for one in values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(encoded.encode()).hexdigest()[:_DIGEST_CHARACTERS]
