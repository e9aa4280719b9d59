"""Names as people type them on the command line, and the paths of the API that they stand for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cli.errors import Misused

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class DeploymentName:
    """A deployment's natural key: `workspace/name`."""

    workspace: str
    name: str

    def __str__(self) -> str:
        return f"{self.workspace}/{self.name}"

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"{workspace_path(self.workspace)}/deployments/{self.name}"


def deployment_name(text: str) -> DeploymentName:
    """Read `workspace/name`; raises Misused for anything else."""
    workspace, _, name = text.partition("/")
    if not (_NAME.fullmatch(workspace) and _NAME.fullmatch(name)):
        raise Misused(
            f"{text!r} does not name a deployment.", todo="Write workspace/name, for example demo/hello."
        )
    return DeploymentName(workspace, name)


def workspace_path(name: str) -> str:
    """Where the API has a workspace; raises Misused for what cannot be one's name."""
    if not _NAME.fullmatch(name):
        raise Misused(
            f"{name!r} cannot be the name of a workspace.", todo="Use small letters, digits and hyphens."
        )
    return f"/v1/workspaces/{name}"
