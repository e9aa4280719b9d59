"""Texts on a cluster: addresses are Services, paths are mounts, secrets stay references until they are written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from drivers.addresses import port_of, resolved, written
from drivers.kubernetes.names import namespace_of
from drivers.kubernetes.settings import Settings
from model.names import AddressRef, Part, PathRef, SecretRef, Text
from model.objects import Site

FILES = "/armillary"
"""Where the files of units are mounted: `/armillary/<unit>/<path>`."""
_DATABASE = "database"
_ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - of a pod's own network, which its network policy guards


def resolve(text: Text, site: Site, settings: Settings) -> Text:
    """A text with its addresses and paths resolved, and neighbouring literals joined."""
    return resolved(text, lambda part: _known(part, site, settings))


def plain(text: Text) -> str:
    """A resolved text that refers to no secret, as a string."""
    return "".join(part for part in text if isinstance(part, str))


async def revealed(text: Text, reveal: Callable[[SecretRef], Awaitable[str]]) -> str:
    """A resolved text with its secrets in it: only ever for a write."""
    return "".join([part if isinstance(part, str) else await _reveal(part, reveal) for part in text])


async def _reveal(part: Part, reveal: Callable[[SecretRef], Awaitable[str]]) -> str:
    if not isinstance(part, SecretRef):
        raise TypeError(f"{type(part).__name__} is still to be resolved")
    return await reveal(part)


def path_of(unit: str, inside: str = "") -> str:
    """Where a container finds the files of a unit."""
    return "/".join(one for one in (FILES, unit, inside) if one)


def _known(part: Part, site: Site, settings: Settings) -> Part:
    match part:
        case AddressRef():
            return _address(part, site, settings)
        case PathRef(unit=unit, inside=inside):
            return path_of(unit, inside)
        case _:
            return part


def _address(reference: AddressRef, site: Site, settings: Settings) -> str:
    if reference.unit == _DATABASE:
        host, port = settings.database_host or site.database[0], site.database[1]
    else:
        host, port = (
            f"{reference.unit}.{namespace_of(site.release)}.svc",
            port_of(reference.unit, reference.port, site),
        )
    return written(reference, host, port, listen=_ALL_INTERFACES)
