"""What drivers share when they resolve a text: its parts joined, a leased port found, an address written down."""

from __future__ import annotations

from collections.abc import Callable

from drivers.base import Refused
from model.names import AddressRef, Part, Text
from model.objects import Site


def resolved(text: Text, known: Callable[[Part], Part]) -> Text:
    """A text with what is known of each part, and neighbouring literals joined."""
    parts: list[Part] = []
    for one in map(known, text):
        if isinstance(one, str) and parts and isinstance(parts[-1], str):
            parts[-1] += one
        else:
            parts.append(one)
    return tuple(parts)


def port_of(unit: str, port: str, site: Site) -> int:
    """The number that is leased for a unit's port. Raises Refused when none is."""
    try:
        return site.ports[unit, port]
    except KeyError:
        raise Refused(
            f"no port {port!r} of {unit} is leased to {site.release}; "
            "the ports table gives each deployment its block"
        ) from None


def written(reference: AddressRef, host: str, port: int, *, listen: str) -> str:
    """The part of an address that is asked for. `listen`: the interface that the unit itself binds."""
    match reference.part:
        case "host":
            return host
        case "listen":
            return listen
        case "port":
            return str(port)
        case "host:port":
            return f"{host}:{port}"
