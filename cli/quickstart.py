"""The first deployment: what `up` submits through the API when nothing exists yet."""

from __future__ import annotations

from pathlib import Path

from cli import applying, manifest
from cli.client import Client
from cli.errors import Failed
from cli.names import DeploymentName
from cli.reading import listed

NAME = DeploymentName("demo", "hello")

_PLACES = (Path(__file__).parent / "examples", Path(__file__).parent.parent / "examples")
"""Inside the installed package, and beside it in a source tree."""


def examples() -> Path:
    """The folder of the examples that came with Armillary; raises Failed when there is none."""
    for place in _PLACES:
        if (place / "quickstart.yaml").is_file():
            return place.resolve()
    raise Failed(
        "The examples are missing from this installation.", where=str(_PLACES[0]), todo="Install it anew."
    )


async def submit_if_empty(api: Client) -> tuple[applying.Change, ...]:
    """Apply `quickstart.yaml` unless a workspace or deployment exists; what was changed."""
    if listed(await api.get("/v1/workspaces")) or listed(await api.get("/v1/deployments")):
        return ()
    path = examples() / "quickstart.yaml"
    return await applying.apply(api, manifest.read(str(path), path.read_text(), path.parent))
