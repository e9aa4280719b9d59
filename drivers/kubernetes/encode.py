"""What is sent: a body with its mark, the digest that it is known by, and at last its secrets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from drivers.base import Reveal
from drivers.kubernetes.body import Body
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import CONTENT, DIGEST, FROZEN_DIGEST, MARK, labels_of, mark_of
from drivers.kubernetes.texts import revealed
from model.names import Owner, Text
from model.objects import Object


def manifest_of(wanted: Object, owner: Owner, installation: str) -> dict[str, Any]:
    """The manifest of an object with its mark and without a secret: all that can be compared."""
    body: Body = wanted.body
    place, own = body.place, body.manifest.get("metadata", {})
    annotations = {MARK: mark_of(installation, owner, place), DIGEST: wanted.digest}
    if wanted.frozen_digest:
        annotations[FROZEN_DIGEST] = wanted.frozen_digest
    metadata = {
        "name": place.name,
        **({"namespace": place.namespace} if place.namespace else {}),
        "labels": {**own.get("labels", {}), **labels_of(installation, owner, wanted.unit)},
        "annotations": {**own.get("annotations", {}), **annotations},
    }
    kind = {"apiVersion": RESOURCES[place.kind].api_version, "kind": place.kind}
    return {
        **kind,
        **{key: value for key, value in body.manifest.items() if key != "metadata"},
        "metadata": metadata,
    }


async def encode(wanted: Object, owner: Owner, installation: str, reveal: Reveal) -> dict[str, Any]:
    """The whole manifest, as server-side apply takes it. Raises what `reveal` raises."""
    manifest = manifest_of(wanted, owner, installation)
    body: Body = wanted.body
    if body.place.kind == "Secret":
        data = {key: await _encoded(value, reveal) for key, value in body.secrets.items()}
        manifest["data"] = data
        manifest["metadata"]["annotations"][CONTENT] = content_of(data)
    return manifest


def content_of(data: Mapping[str, str]) -> str:
    """What tells one content of a Secret from another, without telling the content. `data`: base64 values.

    It stands on the Secret itself: who can read it can read the values.
    """
    told = hashlib.sha256()
    for key in sorted(data):
        told.update(f"{key}={hashlib.sha256(base64.b64decode(data[key])).hexdigest()}\n".encode())
    return told.hexdigest()[:24]


async def _encoded(value: Text, reveal: Reveal) -> str:
    return base64.b64encode((await revealed(value, reveal)).encode()).decode()
