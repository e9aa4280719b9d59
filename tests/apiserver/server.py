"""The server itself: HTTP on a thread and a loop of its own, so that whoever asks may block.

`requests` has every one that was answered, as an audit log would.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote

import yaml
from aiohttp import web

from drivers.kubernetes.kinds import RESOURCES, Resource
from tests.apiserver import discovery, writing
from tests.apiserver.controllers import advance
from tests.apiserver.errors import Refusal
from tests.apiserver.faults import Fault, Faults
from tests.apiserver.store import Manifest, Store, key_of
from tests.apiserver.watching import Broken, Watching, selector

_Answer = TypeVar("_Answer")
_STEP_SECONDS = 0.01
_SLOW_SECONDS = 0.1
_SILENT_SECONDS = 30.0
_END_SECONDS = 10.0
_APPLY = "application/apply-patch+yaml"
_BEFORE = {
    Fault.THROTTLED: Refusal(429, "TooManyRequests", "too many requests", after_seconds=1),
    Fault.CONFLICT: Refusal(409, "Conflict", "the object has been modified; please apply your changes again"),
    Fault.UNAVAILABLE_BEFORE: Refusal(503, "ServiceUnavailable", "etcdserver: leader changed"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that was understood: `verb` as an audit log has it."""

    verb: str
    kind: str
    namespace: str
    name: str


WRITES = frozenset({"create", "apply", "update", "patch", "delete"})


@dataclass(slots=True)
class Server:
    """A simulated API server. `url` is known once it is started."""

    store: Store = field(default_factory=Store)
    faults: Faults = field(default_factory=Faults)
    requests: list[Asked] = field(default_factory=list)
    url: str = ""
    _ending: asyncio.Event = field(default_factory=asyncio.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _pages: dict[str, list[Manifest]] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def started(cls, faults: Faults | None = None) -> Iterator[Server]:
        """One that answers until the end."""
        server, is_up = cls(faults=faults or Faults()), threading.Event()
        thread = threading.Thread(target=asyncio.run, args=(server._serve(is_up),), name="simulated API server")
        thread.start()
        try:
            if not is_up.wait(_END_SECONDS):
                raise TimeoutError("the simulated API server did not start")
            yield server
        finally:
            server.do(server._ending.set)
            thread.join(_END_SECONDS)

    def do(self, act: Callable[[], _Answer]) -> _Answer:
        """Do something in the server's own thread, between two requests."""

        async def acting() -> _Answer:
            return act()

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(acting(), self._loop).result(_END_SECONDS)

    def kubeconfig(self) -> str:
        """What gives access to it: a file's text."""
        named = {"name": "simulated"}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{**named, "cluster": {"server": self.url}}],
                "users": [{**named, "user": {}}],
                "contexts": [{**named, "context": {"cluster": "simulated", "user": "simulated"}}],
                "current-context": "simulated",
            }
        )

    def writes(self) -> list[Asked]:
        """The requests that wrote."""
        return [one for one in self.requests if one.verb in WRITES]

    async def _serve(self, is_up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        application = web.Application(client_max_size=16 * 2**20)
        application.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        is_up.set()
        while not self._ending.is_set():
            advance(self.store)
            await asyncio.sleep(_STEP_SECONDS)
        await runner.cleanup()

    # Requests.

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        found = discovery.answer(request.path)
        if found is not None:
            return web.json_response(found)
        try:
            return await self._of_resource(request)
        except Refusal as refusal:
            return _refused(refusal)

    async def _of_resource(self, request: web.Request) -> web.StreamResponse:
        resource, namespace, name = _route(request.path)
        if request.query.get("watch") in ("1", "true"):
            return await self._watch(request, resource)
        asked = json.loads(await request.read() or b"{}")
        is_write = request.method != "GET"
        fault = self.faults.of_request(is_write=is_write)
        await self._before(request, fault)
        answer = self._act(request, resource, namespace, name, asked)
        return await self._after(request, fault, answer)

    async def _before(self, request: web.Request, fault: Fault | None) -> None:
        if fault in _BEFORE:
            raise _BEFORE[fault]
        match fault:
            case Fault.RESET_BEFORE:
                _reset(request)
            case Fault.SLOW:
                await asyncio.sleep(_SLOW_SECONDS)
            case Fault.SILENT:
                await asyncio.sleep(_SILENT_SECONDS)

    async def _after(self, request: web.Request, fault: Fault | None, answer: Any) -> web.StreamResponse:
        match fault:
            case Fault.UNAVAILABLE_AFTER:
                raise Refusal(500, "InternalError", "etcdserver: request timed out")
            case Fault.RESET_AFTER:
                _reset(request)
            case Fault.BROKEN_OFF:
                return await _half(request, answer)
        return web.json_response(answer, status=201 if request.method == "POST" else 200)

    def _act(
        self, request: web.Request, resource: Resource, namespace: str | None, name: str, asked: Manifest
    ) -> Any:
        manager = request.query.get("fieldManager", "somebody")
        where = key_of(resource, namespace, name or asked.get("metadata", {}).get("name", ""))
        verb = _verb(request, name)
        self.requests.append(Asked(verb=verb, kind=where.kind, namespace=where.namespace, name=where.name))
        match verb:
            case "get":
                return self.store.get(where)
            case "list":
                return self._list(request, resource, namespace)
            case "create":
                return writing.create(self.store, resource, namespace, asked, manager)
            case "update":
                return writing.replace(self.store, where, asked, manager)
            case "delete":
                return writing.delete(self.store, where, asked)
            case "apply":
                force = request.query.get("force") == "true"
                return writing.apply(self.store, where, asked, manager, force=force)
            case _:
                return writing.patch(self.store, where, asked, manager)

    def _list(self, request: web.Request, resource: Resource, namespace: str | None) -> Manifest:
        token, limit = request.query.get("continue"), int(request.query.get("limit", "0"))
        if token is None:
            selects = selector(request.query.get("labelSelector", ""))
            items = [one for one in self.store.of(resource.kind, namespace) if selects(one)]
            version = str(self.store.version)
        elif token in self._pages:
            items, version = self._pages.pop(token), token.partition("-")[0]
        else:
            raise Refusal(410, "Expired", "the provided continue parameter is too old")
        metadata = {"resourceVersion": version}
        if limit and len(items) > limit:
            metadata["continue"] = f"{version}-{len(self._pages)}-{len(items)}"
            self._pages[metadata["continue"]] = items[limit:]
            items = items[:limit]
        plain = [
            {name: value for name, value in one.items() if name not in ("apiVersion", "kind")} for one in items
        ]
        return {
            "apiVersion": resource.api_version,
            "kind": f"{resource.kind}List",
            "metadata": metadata,
            "items": plain,
        }

    async def _watch(self, request: web.Request, resource: Resource) -> web.StreamResponse:
        self.requests.append(Asked(verb="watch", kind=resource.kind, namespace="", name=""))
        version = int(request.query.get("resourceVersion") or self.store.version)
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        selects = selector(request.query.get("labelSelector", ""))
        watching = Watching(self.store, self.faults, stream, resource.kind, selects)
        try:
            await watching.follow(version, float(request.query.get("timeoutSeconds", "300")))
        except Broken as broken:
            if broken.is_reset:
                _reset(request)
        return stream


def _verb(request: web.Request, name: str) -> str:
    """As an audit log has it, and `apply` for a server-side apply."""
    if request.method == "GET":
        return "get" if name else "list"
    if request.method == "PATCH":
        return "apply" if request.content_type == _APPLY else "patch"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}[request.method]


def _route(path: str) -> tuple[Resource, str | None, str]:
    """The resource, the namespace and the name that a path is about. Raises Refusal for any other."""
    parts = [unquote(one) for one in path.strip("/").split("/")]
    root, parts = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
    namespace = None
    if len(parts) > 2 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    version = "/".join(root[1:])
    for one in RESOURCES.values():
        if parts and (one.api_version, one.plural) == (version, parts[0]):
            return one, namespace, parts[1] if len(parts) > 1 else ""
    raise Refusal(404, "NotFound", "the server could not find the requested resource")


def _refused(refusal: Refusal) -> web.Response:
    headers = {} if refusal.after_seconds is None else {"Retry-After": str(refusal.after_seconds)}
    return web.json_response(refusal.status, status=refusal.code, headers=headers)


def _reset(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise Refusal(500, "InternalError", "nobody hears this")


async def _half(request: web.Request, answer: Any) -> web.StreamResponse:
    body = json.dumps(answer).encode()
    stream = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await stream.prepare(request)
    await stream.write(body[: len(body) // 2])
    _reset(request)
    return stream
