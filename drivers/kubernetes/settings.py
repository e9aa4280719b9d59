"""What an administrator may say about one Kubernetes cluster, each with a default that works without asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one cluster.

    `images`: where Airflow's images are, e.g. `registry.example.com/team/`; a deployment's `airflow:3.3.2` is
    looked for there. `storage_class` empty: the cluster's default. `access_mode` ReadWriteMany lets pods of
    several nodes share a volume, where the storage class can. `database_host`: how pods reach PostgreSQL; empty:
    by the name that the daemon uses. `user_id`: whom containers run as; Airflow's own images use 50000.
    `quota`: what each namespace may take at most, by the names of a ResourceQuota; empty: no bound.
    `container`: `cpu` and `memory` of one that asks for nothing itself; empty: what the cluster says.
    """

    images: str = ""
    storage_class: str = ""
    access_mode: str = "ReadWriteOnce"
    volume_size: str = "5Gi"
    database_host: str = ""
    user_id: int = 50000
    quota: Mapping[str, str] = field(default_factory=dict)
    container: Mapping[str, str] = field(default_factory=dict)
