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


def canonical(value: object) -> object:
    """The value as JSON-ready data, the same for equal values whatever their order in mappings or sets."""
    if is_dataclass(value) and not isinstance(value, type):
        body = {one.name: canonical(getattr(value, one.name)) for one in fields(value)}
        return {"": type(value).__name__, **body}
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, AbstractSet):
        return sorted((canonical(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    if isinstance(value, tuple | list):
        return [canonical(one) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be part of a digest")


def digest(*values: object) -> str:
    """24 hexadecimal characters of SHA-256 over the canonical form of the values."""
    encoded = json.dumps([canonical(one) for one in values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(encoded.encode()).hexdigest()[:_DIGEST_CHARACTERS]
