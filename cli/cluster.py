"""`armillary cluster`: what an administrator of a Kubernetes cluster has to give the daemon."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
import yaml

app = typer.Typer(help="Kubernetes clusters.", no_args_is_help=True)


@app.callback()
def clusters() -> None:
    """Kubernetes clusters."""


@app.command()
def rbac(
    *,
    name: Annotated[str, typer.Option(help="Name of the role and its binding.")] = "armillary",
    account: Annotated[str, typer.Option(help="The service account that the daemon uses.")] = "armillary",
    namespace: Annotated[str, typer.Option(help="The service account's namespace.")] = "armillary",
) -> None:
    """Print exactly the rights that the daemon needs, as manifests for kubectl apply."""
    from drivers.kubernetes.rights import binding, cluster_role  # noqa: PLC0415 - other commands start without it

    manifests = (cluster_role(name), binding(name, account, namespace))
    sys.stdout.write(yaml.safe_dump_all(manifests, sort_keys=False))
