"""Every setting of the daemon, with its unit and the reason for its default.

Read, the first found winning, from flags, environment variables (`ARMILLARY_<NAME>`), and `armillary.toml` in the
home. An unknown key in the file is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")]
"""As Kubernetes writes quantities: `500m`, `2`, `16Gi`."""


class KubernetesCluster(BaseModel):
    """One Kubernetes cluster: how it is reached, and what deployments get there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kubeconfig: Path | None = Field(
        default=None, description="File that gives access; unset: the service account of the daemon's own pod."
    )
    context: str | None = Field(default=None, description="Context of that file; unset: its current one.")
    images: str = Field(
        default="", description="Put before the name of each image, as in registry.example.com/team/."
    )
    storage_class: str = Field(default="", description="Class of volumes; empty: the cluster's default.")
    access_mode: str = Field(
        default="ReadWriteOnce",
        pattern="^ReadWrite(Once|Many|OncePod)$",
        description="How volumes are mounted; ReadWriteMany lets pods of several nodes share one.",
    )
    volume_size: str = Field(default="5Gi", description="Size of each volume, as Kubernetes writes quantities.")
    database_host: str = Field(
        default="", description="Host by which pods reach the databases; empty: the one the daemon uses."
    )
    user_id: int = Field(default=50000, ge=1, description="Whom containers run as.")
    quota: dict[str, Quantity] = Field(
        default_factory=dict,
        description="What each deployment's namespace may take at most, as a ResourceQuota names it.",
    )
    container: dict[Literal["cpu", "memory"], Quantity] = Field(
        default_factory=dict, description="What a container gets that asks for nothing itself."
    )

    @model_validator(mode="after")
    def _require_pods_to_fit(self) -> Self:
        """Under a quota of cpu or memory Kubernetes refuses every pod that says nothing of it."""
        bounded = {name.rpartition(".")[2] for name in self.quota} & {"cpu", "memory"}
        if missing := sorted(bounded - self.container.keys()):
            raise ValueError(
                f"under a quota of {' and '.join(missing)} each container must say how much it needs; "
                f"add to the table container: {', '.join(missing)}"
            )
        return self


class Settings(BaseSettings):
    """The daemon's settings."""

    model_config = SettingsConfigDict(env_prefix="ARMILLARY_", extra="forbid", frozen=True)

    home: Path = Field(description="Folder of this installation: database, runtimes, deployments, keys.")
    database: str | None = Field(
        default=None,
        description="URL of the state store, postgresql://…; unset: the embedded PostgreSQL of the home.",
    )
    databases: str | None = Field(
        default=None,
        description="Admin URL of the server for deployments' databases; unset: the state store's server.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address the API listens on. Loopback: exposing it is a decision, with TLS in front.",
    )
    port: int = Field(default=8871, ge=1, le=65535, description="Port the API listens on.")
    workers: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Passes at once in each cluster. Four keep a slow call from holding up the rest.",
    )
    workspace_weights: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        default_factory=dict,
        description="Workspace to its share of passes beside the others'; 1 when not named.",
    )
    kubernetes: dict[
        Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")], KubernetesCluster
    ] = Field(default_factory=dict, description="Kubernetes clusters by name, each a table of the file.")
    sweep_interval_seconds: float = Field(
        default=2.0,
        gt=0,
        description="Between looks for changes whose notification was lost. The query takes milliseconds.",
    )
    resync_interval_seconds: float = Field(
        default=60.0,
        ge=5,
        description="Between passes of every deployment that nobody asked for: the net under all hints.",
    )
    orphan_interval_seconds: float = Field(
        default=300.0, ge=5, description="Between searches for things of ours whose owner is gone."
    )
    shutdown_grace_seconds: float = Field(
        default=10.0,
        gt=0,
        description="How long running passes may finish on the way down; the next daemon finishes the rest.",
    )
    log_format: str = Field(
        default="console",
        pattern="^(console|json)$",
        description="How log lines are written: console or json.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags, then the environment, then the home's file."""
        home = Path(str(init_settings().get("home", ".")))
        file = TomlConfigSettingsSource(settings_cls, toml_file=home / "armillary.toml")
        return (init_settings, env_settings, file)
