"""The stamp of a cluster: a ConfigMap that tells which installation keeps it and how far its database was.

It lies in a namespace of its own and not in the database, so that a database restored from a backup is found out.
"""

from __future__ import annotations

from typing import Any

from drivers.base import Stamp, Unavailable
from drivers.kubernetes.client import Client
from drivers.kubernetes.kinds import RESOURCES
from model.names import Moment

NAMESPACE = "armillary"


async def read_stamp(client: Client, installation: str) -> Stamp | None:
    """What was written last. Raises Unavailable, also for a note that cannot be read as one."""
    name = _name(installation)
    found = await client.get(RESOURCES["ConfigMap"], NAMESPACE, name)
    if found is None:
        return None
    try:
        said = found["data"]
        moment = Moment(int(said["change"]), said["token"])
        return Stamp(installation=said["installation"], epoch=int(said["epoch"]), moment=moment)
    except (KeyError, ValueError, TypeError) as error:
        raise Unavailable(
            f"the ConfigMap {NAMESPACE}/{name} cannot be read ({type(error).__name__}); put it right, "
            "or remove it if nobody else keeps this cluster"
        ) from error


async def write_stamp(client: Client, installation: str, stamp: Stamp) -> None:
    """Remember it. Raises Unavailable, Refused."""
    data = {
        "installation": stamp.installation,
        "epoch": str(stamp.epoch),
        "change": str(stamp.moment.number),
        "token": stamp.moment.token,
    }
    if await client.get(RESOURCES["Namespace"], None, NAMESPACE) is None:
        await client.apply(RESOURCES["Namespace"], _manifest("Namespace", {"name": NAMESPACE}))
    metadata = {"name": _name(installation), "namespace": NAMESPACE}
    await client.apply(RESOURCES["ConfigMap"], {**_manifest("ConfigMap", metadata), "data": data})


def _name(installation: str) -> str:
    return f"kept-by-{installation}"


def _manifest(kind: str, metadata: dict[str, str]) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "armillary"}
    return {"apiVersion": "v1", "kind": kind, "metadata": {**metadata, "labels": labels}}
