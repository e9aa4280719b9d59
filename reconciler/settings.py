"""Every setting of the daemon, with its unit and the reason for its default.

Read, the first found winning, from flags, environment variables (`ARMILLARY_<NAME>`), and `armillary.toml` in the
home. An unknown key in the file is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


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
