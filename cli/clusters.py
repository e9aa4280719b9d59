"""The clusters that a daemon keeps: their drivers, as the settings say, each behind a bulkhead of its own."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base import Driver, Reveal
from drivers.kubernetes.client import Client
from drivers.kubernetes.credentials import by_kubeconfig, from_inside
from drivers.kubernetes.driver import KubernetesDriver
from drivers.kubernetes.names import manager_of
from drivers.kubernetes.settings import Settings as ClusterSettings
from drivers.local.driver import LocalDriver
from drivers.postgres.driver import PostgresDriver
from reconciler.settings import KubernetesCluster, Settings

LOCAL = "local"
"""The cluster of this machine. It leads: its lease is the installation's."""


def drivers_of(settings: Settings, *, identity: str, databases: str, reveal: Reveal) -> Iterator[Driver]:
    """The drivers of databases, of this machine and of each Kubernetes cluster, not open yet."""
    yield PostgresDriver(admin_url=databases, installation=identity, reveal=reveal)
    yield LocalDriver(home=settings.home, installation=identity, reveal=reveal)
    for name, cluster in sorted(settings.kubernetes.items()):
        yield _kubernetes(name, cluster, identity=identity, reveal=reveal)


def _kubernetes(name: str, cluster: KubernetesCluster, *, identity: str, reveal: Reveal) -> KubernetesDriver:
    access = (
        from_inside() if cluster.kubeconfig is None else by_kubeconfig(str(cluster.kubeconfig), cluster.context)
    )
    return KubernetesDriver(
        client=Client(access, field_manager=manager_of(identity)),
        cluster=name,
        installation=identity,
        settings=ClusterSettings(**cluster.model_dump(exclude={"kubeconfig", "context"})),
        reveal=reveal,
    )
