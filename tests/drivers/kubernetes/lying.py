"""A server of one kind that tells of its world badly: what a real API server does rarely, it does each time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from drivers.kubernetes.names import INSTALLATION, MARK, OWNER, Place, mark_of, owner_label
from model.names import Owner

US = Owner("deployment", "12")
Script = Callable[["World", "Stream"], Awaitable[None]]


def config_map(name: str, version: int, value: str = "1", *, owner: Owner = US, uid: str = "u") -> dict[str, Any]:
    place = Place(kind="ConfigMap", namespace="n", name=name)
    metadata = {
        "name": name,
        "namespace": "n",
        "uid": uid,
        "resourceVersion": str(version),
        "labels": {INSTALLATION: "us", OWNER: owner_label(owner)},
        "annotations": {MARK: mark_of("us", owner, place)},
    }
    return {"metadata": metadata, "data": {"k": value}}


class Stream:
    """One watch, as the server answers it."""

    def __init__(self, answer: web.StreamResponse, request: web.Request) -> None:
        self._answer = answer
        self._request = request

    async def say(self, kind: str, found: Mapping[str, Any], times: int = 1) -> None:
        for _ in range(times):
            await self._answer.write(json.dumps({"type": kind, "object": found}).encode() + b"\n")

    async def bookmark(self, version: int) -> None:
        await self.say("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})

    async def half(self) -> None:
        await self._answer.write(b'{"type": "MODIFIED", "object": {"metada')

    async def hang(self) -> None:
        await asyncio.sleep(30)

    def reset(self) -> None:
        assert self._request.transport is not None
        self._request.transport.abort()


class World:
    """A server of one kind. `scripts`: what the first watches do; later ones tell the truth and then bookmarks."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.version = 1
        self.scripts: list[Script] = []
        self.refusals: list[web.Response] = []
        self.lists = 0
        self.watched: list[tuple[float, str]] = []

    def put(self, name: str, value: str = "1") -> dict[str, Any]:
        self.version += 1
        self.there[name] = config_map(name, self.version, value)
        return self.there[name]

    def remove(self, name: str) -> dict[str, Any]:
        self.version += 1
        return config_map(name, self.version, self.there.pop(name)["data"]["k"])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            self.lists += 1
            return self._listed()
        self.watched.append((time.monotonic(), request.query["resourceVersion"]))
        if self.refusals:
            return self.refusals.pop(0)
        answer = web.StreamResponse()
        await answer.prepare(request)
        stream = Stream(answer, request)
        if self.scripts:
            await self.scripts.pop(0)(self, stream)
        else:
            await self._truth(stream, int(request.query["resourceVersion"]))
        return answer

    def _listed(self) -> web.Response:
        metadata = {"resourceVersion": str(self.version)}
        return web.json_response({"metadata": metadata, "items": list(self.there.values())})

    async def _truth(self, stream: Stream, since: int) -> None:
        """What changed since. What was removed is not told: a test that needs it lets it be listed."""
        newer = [one for one in self.there.values() if int(one["metadata"]["resourceVersion"]) > since]
        for one in sorted(newer, key=lambda one: int(one["metadata"]["resourceVersion"])):
            await stream.say("MODIFIED", one)
        while True:
            await stream.bookmark(self.version)
            await asyncio.sleep(0.05)


# --- lies: each changes the world while it is watched, and tells of it badly ------------------------------


async def truncated(world: World, stream: Stream) -> None:
    world.put("a", "2")
    await stream.half()


async def reset(world: World, stream: Stream) -> None:
    world.put("a", "2")
    stream.reset()


async def ended(world: World, _: Stream) -> None:
    world.put("a", "2")


async def silent(world: World, stream: Stream) -> None:
    world.put("a", "2")
    await stream.hang()


async def expired(world: World, stream: Stream) -> None:
    world.remove("b")
    await stream.say("ERROR", {"kind": "Status", "code": 410, "message": "too old"})


async def failed(world: World, stream: Stream) -> None:
    world.put("a", "2")
    await stream.say("ERROR", {"kind": "Status", "code": 500, "message": "etcd"})


async def nonsense(world: World, stream: Stream) -> None:
    world.put("a", "2")
    await stream.say("SURPRISE", {})


async def without_a_name(world: World, stream: Stream) -> None:
    world.put("a", "2")
    await stream.say("MODIFIED", {"metadata": {}})


async def twice(world: World, stream: Stream) -> None:
    await stream.say("MODIFIED", world.put("a", "2"), times=3)
    await stream.say("DELETED", world.remove("b"), times=2)


async def swapped(world: World, stream: Stream) -> None:
    first, second = world.put("a", "2"), world.put("b", "2")
    await stream.say("MODIFIED", second)
    await stream.say("MODIFIED", first)
    await stream.hang()


async def risen(world: World, stream: Stream) -> None:
    old, gone = world.put("b", "2"), world.remove("b")
    await stream.say("DELETED", gone)
    await stream.say("MODIFIED", old)
    await stream.hang()


async def went_back(world: World, stream: Stream) -> None:
    await stream.bookmark(90)
    world.put("a", "2")  # of a version that is far behind
    await stream.bookmark(world.version)
    await stream.hang()


LIES: Mapping[str, Script] = {
    one.__name__: one
    for one in (
        truncated,
        reset,
        ended,
        silent,
        expired,
        failed,
        nonsense,
        without_a_name,
        twice,
        swapped,
        risen,
        went_back,
    )
}
