"""Who we are to a cluster: its address, its certificate authority, and what we show it.

The official client reads the configuration and runs whatever plugin makes the credentials; requests are our own.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, TypeVar

import yaml
from cryptography import x509
from kubernetes.client import Configuration
from kubernetes.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)
from kubernetes.config.kube_config import KubeConfigMerger

from drivers.base import Refused, Unavailable

_PATIENCE_SECONDS = 30.0  # a plugin may ask a cloud

_MALFORMED = (yaml.YAMLError, TypeError, KeyError, AttributeError, ValueError)

Result = TypeVar("Result")


class _Route(TypedDict):
    proxy: str | None
    server_hostname: str | None


class Access:
    """Access to one cluster. `server` is its URL, without a slash at the end."""

    def __init__(self, load: Callable[[], Configuration]) -> None:
        self._load = load
        self._configuration: Configuration | None = None

    @property
    def server(self) -> str:
        """The URL of the API server. To be asked after `open`."""
        return str(self._required.host).rstrip("/")

    async def open(self) -> None:
        """Read the configuration. Raises Refused when none can be used, Unavailable when it hangs."""
        self._configuration = await self._aside(self._load)

    async def refresh(self) -> None:
        """Make the credentials anew: what was shown was not accepted any more."""
        await self.open()

    async def headers(self) -> dict[str, str]:
        """What each request shows. A token that is about to end is made anew first."""
        return await self._aside(self._shown)

    def tls(self) -> ssl.SSLContext | bool:
        """How the server's certificate is verified, and our own. Raises Refused for files that cannot be used."""
        known = self._required
        try:
            context = ssl.create_default_context(cafile=known.ssl_ca_cert)
            if not known.verify_ssl:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if known.cert_file:
                _require_valid(known.cert_file)
                context.load_cert_chain(known.cert_file, known.key_file)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise Refused(
                f"the certificates of the cluster at {self.server} cannot be used ({error}); "
                "make its kubeconfig anew"
            ) from error
        return context

    def route(self) -> _Route:
        """How the server is reached: over which proxy, and by which name its certificate is known."""
        known = self._required
        return {"proxy": known.proxy, "server_hostname": known.tls_server_name}

    @property
    def _required(self) -> Configuration:
        if self._configuration is None:
            raise Unavailable("the cluster's configuration was not read yet")
        return self._configuration

    def _shown(self) -> dict[str, str]:
        token = self._required.get_api_key_with_prefix("BearerToken", alias="authorization")
        return {"Authorization": token} if token else {}

    async def _aside(self, work: Callable[[], Result]) -> Result:
        """The official client waits for files, plugins and clouds: beside the event loop, and not for ever."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await asyncio.to_thread(work)
        except TimeoutError:
            raise Unavailable(
                f"the cluster's credentials were not made within {_PATIENCE_SECONDS:.0f} s; "
                "look at the plugin that its kubeconfig names"
            ) from None
        except (ConfigException, OSError) as error:
            raise Refused(
                f"the cluster's configuration cannot be used: {error}; make its kubeconfig anew"
            ) from error
        except _MALFORMED as error:
            # without the parser's own words: they repeat lines of the file
            raise Refused(
                f"the cluster's configuration cannot be used: it is no kubeconfig ({type(error).__name__}); "
                "make it anew"
            ) from None


def _require_valid(file: str) -> None:
    """A server only breaks the connection on a certificate that ended, which looks like a bad network."""
    ends = x509.load_pem_x509_certificate(Path(file).read_bytes()).not_valid_after_utc
    if ends <= datetime.now(UTC):
        raise ValueError(f"the client certificate {file} ended at {ends:%Y-%m-%d %H:%M} UTC")


def by_kubeconfig(file: str, context: str | None = None) -> Access:
    """Access by a kubeconfig: its current context, or the one named."""

    def load() -> Configuration:
        configuration = Configuration()
        # not the library's default, which is the last configuration that anybody loaded
        configuration.host = ""
        load_kube_config(file, context=context, client_configuration=configuration, persist_config=False)
        if not configuration.host:
            raise ConfigException(f"{file} names no server")
        _require_credentials(configuration, file, context)
        return configuration

    return Access(load)


def _require_credentials(configuration: Configuration, file: str, context: str | None) -> None:
    """The official client only logs that a plugin failed, and goes on as nobody."""
    if configuration.api_key or configuration.cert_file:
        return
    known = KubeConfigMerger(file).config
    chosen = known["contexts"].get_with_name(context or known["current-context"])["context"].safe_get("user")
    found = known["users"].get_with_name(chosen, safe=True) if chosen else None
    plugin = (found.value.get("user") or {}).get("exec") if found else None
    if plugin:
        raise ConfigException(f"the plugin {plugin['command']} gave no credentials; run it by hand to see why")


def from_inside() -> Access:
    """Access by the service account of the pod that this daemon runs in."""

    def load() -> Configuration:
        configuration = Configuration()
        load_incluster_config(client_configuration=configuration)
        return configuration

    return Access(load)
