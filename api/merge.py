"""JSON Merge Patch (RFC 7396): a patch is a document of what changes, and null removes. Pure."""

from __future__ import annotations

from typing import Any

Json = Any
"""A JSON value: None, bool, int, float, str, or lists and string-keyed dicts of them."""


def merge(target: Json, patch: Json) -> Json:
    """The target as the patch wants it. Neither argument is changed.

    Objects are merged member by member, a null member is removed, and anything else replaces what was there.
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, change in patch.items():
        if change is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), change)
    return merged
