"""Requests to one API server: ours, on aiohttp, because the official client has no bounds that we can set.

Calls and watches have sessions of their own, so that a watch never waits for a call's connection. Nothing is tried
again here but a refused credential, once; whoever calls decides.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec

from drivers.base import DriverError, Unavailable
from drivers.kubernetes.answers import Gone, error_of
from drivers.kubernetes.credentials import Access
from drivers.kubernetes.kinds import Resource

_CONNECTIONS = 32
_CONNECT_SECONDS = 10.0
_PAGE = 500
_LISTED_AGAIN_MAX = 3
_WATCH_SECONDS = (240, 360)  # then the server ends it, and we ask anew; not all watches at once
_LINE_MAX_BYTES = 8 * 1024 * 1024
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_MERGE = "application/merge-patch+json"
_METADATA = f"{_JSON};as=PartialObjectMetadata{{}};g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A whole list, and the version of the world that it shows."""

    items: tuple[dict[str, Any], ...]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """ADDED, MODIFIED, DELETED or BOOKMARK, and the object it is about."""

    type: str
    object: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """One request, as it is sent, but for the credentials."""

    method: str
    path: str
    params: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    content_type: str = _JSON
    accept: str = _JSON


class Ended(Unavailable):
    """The server ended a watch in good order, as it does every few minutes: ask anew."""


class Client:
    """One cluster's API. `field_manager` is whose the fields are that are applied."""

    def __init__(self, access: Access, *, field_manager: str, timeout_seconds: float = 10.0) -> None:
        self._access = access
        self._manager = field_manager
        self._patience = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_SECONDS)
        self._calls: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Read the credentials. Raises Refused when they cannot be used."""
        await self._access.open()
        tls = self._access.tls()
        # a watch lives for minutes: it is not counted among the connections for calls
        self._calls = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=_CONNECTIONS))
        self._watches = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0), read_bufsize=_LINE_MAX_BYTES
        )

    async def close(self) -> None:
        """End all connections."""
        for session in (self._calls, self._watches):
            if session is not None:
                await session.close()
        self._calls = self._watches = None

    # Looking.

    async def version(self) -> str:
        """The server's version, e.g. `v1.36.3`."""
        what = "ask the version"
        found = await self._json(_Sent(method="GET", path="/version"), what)
        with _understood(what):
            return str(found["gitVersion"])

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        """One object; None when there is none of that name."""
        what = f"look at {resource.kind} {name}"
        status, headers, body = await self._call(_Sent(method="GET", path=resource.path(namespace, name)), what)
        if status == HTTPStatus.NOT_FOUND:
            return None
        return _decoded(status, headers, body, what)

    async def pages(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", metadata_only: bool = False
    ) -> Listing:
        """Everything of a kind that the labels select, page by page. Raises Gone when it never holds still."""
        accept = _accept("List", only=metadata_only)
        for attempt in range(_LISTED_AGAIN_MAX):
            try:
                return await self._pages(resource, resource.path(namespace), labels, accept)
            except Gone:
                if attempt == _LISTED_AGAIN_MAX - 1:
                    raise
        raise AssertionError

    async def may(self, verb: str, resource: Resource, namespace: str | None = None) -> bool:
        """Whether we have a right, as the server itself judges."""
        asked = {"verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace or ""}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": asked},
        }
        sent = _Sent(method="POST", path="/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        what = f"ask for the right to {verb} {resource.plural}"
        found = await self._json(sent, what)
        with _understood(what):
            return bool(found["status"].get("allowed"))

    async def watch(
        self,
        resource: Resource,
        *,
        labels: str = "",
        version: str = "",
        metadata_only: bool = False,
        silent_seconds: float = 90.0,
        opened: Callable[[], None] = lambda: None,
    ) -> AsyncGenerator[WatchEvent]:
        """Changes since a version, bookmarks too. `opened` is called once the server began to answer.

        Raises Gone, Ended, and Unavailable when it breaks off or falls silent.
        """
        what = f"watch {resource.plural}"
        asked = {
            "watch": "1",
            "labelSelector": labels,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311 - jitter
        }
        sent = _Sent(method="GET", path=resource.path(), params=asked, accept=_accept("", only=metadata_only))
        patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=silent_seconds)
        async with self._answered(self._watches, sent, what, patience) as answer:
            if answer.status != HTTPStatus.OK:
                if answer.status == HTTPStatus.UNAUTHORIZED:
                    await self._access.refresh()
                raise error_of(answer.status, await answer.read(), answer.headers, what)
            opened()
            async for line in answer.content:
                yield _event(line, what)
        raise Ended(f"{what}: the server ended it")

    # Changing.

    async def create(self, resource: Resource, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Make what is not there. Raises Conflict when something is."""
        metadata = manifest["metadata"]
        sent = _Sent(
            method="POST",
            path=resource.path(metadata.get("namespace")),
            params={"fieldManager": self._manager, "fieldValidation": "Strict"},
            body=manifest,
        )
        return await self._json(sent, f"create {resource.kind} {metadata['name']}")

    async def apply(
        self, resource: Resource, manifest: Mapping[str, Any], *, force: bool = True, dry_run: bool = False
    ) -> dict[str, Any]:
        """Server-side apply. Raises Conflict when the uid in the manifest is of another object."""
        metadata = manifest["metadata"]
        dry = {"dryRun": "All"} if dry_run else {}
        sent = _Sent(
            method="PATCH",
            path=resource.path(metadata.get("namespace"), metadata["name"]),
            params={"fieldManager": self._manager, "force": str(force).lower(), **dry},
            body=manifest,
            content_type=_APPLY,
        )
        return await self._json(sent, f"apply {resource.kind} {metadata['name']}")

    async def put(self, resource: Resource, live: Mapping[str, Any]) -> dict[str, Any]:
        """Write a whole object, as long as it is of the version that was read. Raises Conflict when it is not."""
        metadata = live["metadata"]
        sent = _Sent(
            method="PUT",
            path=resource.path(metadata.get("namespace"), metadata["name"]),
            params={"fieldManager": self._manager},
            body=live,
        )
        return await self._json(sent, f"write {resource.kind} {metadata['name']}")

    async def patch(
        self, resource: Resource, namespace: str | None, name: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change a part of an object (a JSON merge patch)."""
        sent = _Sent(
            method="PATCH",
            path=resource.path(namespace, name),
            params={"fieldManager": self._manager},
            body=body,
            content_type=_MERGE,
        )
        return await self._json(sent, f"patch {resource.kind} {name}")

    async def delete(
        self, resource: Resource, namespace: str | None, name: str, *, uid: str, propagation: str = "Background"
    ) -> bool:
        """Send exactly this object on its way. False when it was gone. Raises Conflict when it is another."""
        what = f"delete {resource.kind} {name}"
        body = {"preconditions": {"uid": uid}, "propagationPolicy": propagation}
        status, headers, answer = await self._call(
            _Sent(method="DELETE", path=resource.path(namespace, name), body=body), what
        )
        if status == HTTPStatus.NOT_FOUND:
            return False
        _decoded(status, headers, answer, what)
        return True

    # How.

    async def _pages(self, resource: Resource, path: str, labels: str, accept: str) -> Listing:
        items: list[dict[str, Any]] = []
        token = version = ""
        while True:
            asked = {"labelSelector": labels, "limit": str(_PAGE), **({"continue": token} if token else {})}
            sent = _Sent(method="GET", path=path, params=asked, accept=accept)
            what = f"list {resource.plural}"
            page = await self._json(sent, what)
            with _understood(what):
                version = version or str(page["metadata"]["resourceVersion"])
                token = page["metadata"].get("continue", "")
                items += page["items"] or ()
            if not token:
                return Listing(items=tuple(items), version=version)

    async def _json(self, sent: _Sent, what: str) -> dict[str, Any]:
        status, headers, body = await self._call(sent, what)
        return _decoded(status, headers, body, what)

    async def _call(self, sent: _Sent, what: str) -> tuple[int, Mapping[str, str], bytes]:
        """One request and its whole answer; a second one when the first credentials were not accepted."""
        for is_last in (False, True):
            async with self._answered(self._calls, sent, what, self._patience) as answer:
                body = await answer.read()
            if answer.status != HTTPStatus.UNAUTHORIZED or is_last:
                break
            await self._access.refresh()
        return answer.status, answer.headers, body

    @asynccontextmanager
    async def _answered(
        self, session: aiohttp.ClientSession | None, sent: _Sent, what: str, patience: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one request, its body not read yet."""
        if session is None:
            raise Unavailable(f"{what}: the connection to the cluster is closed")
        server = self._access.server
        headers = {**await self._access.headers(), "Accept": sent.accept, "Content-Type": sent.content_type}
        data = None if sent.body is None else msgspec.json.encode(sent.body)
        try:
            async with session.request(
                sent.method,
                server + sent.path,
                params=sent.params,
                data=data,
                headers=headers,
                timeout=patience,
                **self._access.route(),
            ) as answer:
                yield answer
        except TimeoutError as error:
            raise Unavailable(f"{what}: the cluster at {server} did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            told = f"{what}: the cluster at {server} could not be reached ({type(error).__name__})"
            raise Unavailable(told) from error


def _accept(suffix: str, *, only: bool) -> str:
    return _METADATA.format(suffix) if only else _JSON


def _decoded(status: int, headers: Mapping[str, str], body: bytes, what: str) -> dict[str, Any]:
    if status >= HTTPStatus.BAD_REQUEST:
        raise error_of(status, body, headers, what)
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Unavailable(f"{what}: the answer broke off in the middle, or is not of an API server") from error


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """What lacks a part that every API server tells is of something else that answers there: a proxy, a login."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{what}: what answered is not an API server ({error!r})") from error


def _event(line: bytes, what: str) -> WatchEvent:
    try:
        found = msgspec.json.decode(line)
        kind, about = found["type"], found["object"]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise Unavailable(f"{what}: it broke off in the middle") from error
    if kind == "ERROR":
        raise _of_status(about, what)
    return WatchEvent(type=kind, object=about)


def _of_status(status: Mapping[str, Any], what: str) -> DriverError:
    return error_of(int(status.get("code", 500)), msgspec.json.encode(status), {}, what)
