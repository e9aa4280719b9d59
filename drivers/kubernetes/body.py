"""The bodies of Kubernetes objects: a manifest whose secrets are still references.

Made by `translate`, encoded by `encode` when something is written. What is digested holds no secret's value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drivers.kubernetes.names import Place
from model.names import Text

Manifest = Mapping[str, Any]
"""What the API server is sent, and what it answers: plain JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One object as it is to be applied, but for its mark and its secrets.

    `secrets` are the entries of a Secret's data: key → text.
    """

    place: Place
    manifest: Manifest
    secrets: Mapping[str, Text] = field(default_factory=dict)
