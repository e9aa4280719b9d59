"""The client against a server that misbehaves: each way to fail is told as what it is, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.client import Configuration

from drivers.base import Conflict, DriverError, Refused, Throttled, Unavailable
from drivers.kubernetes.answers import Gone
from drivers.kubernetes.client import Client
from drivers.kubernetes.credentials import Access
from drivers.kubernetes.kinds import RESOURCES

CONFIG_MAP = RESOURCES["ConfigMap"]
MANIFEST = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "n"},
    "data": {"k": "v"},
}
Answer = Callable[[web.Request], Any]


class Server:
    """Answers as it is told to, in turn; the last answer again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.tokens = ["one", "two"]
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        found = answer(request)
        return await found if asyncio.iscoroutine(found) else found

    def configuration(self) -> Configuration:
        made = Configuration()
        made.host = self.url
        made.api_key = {
            "authorization": f"Bearer {self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]}"
        }
        return made


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", one.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield one
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    one = Client(Access(server.configuration), field_manager="armillary-test", timeout_seconds=0.5)
    await one.open()
    yield one
    await one.close()


def said(code: int, message: str = "no", **headers: str) -> Answer:
    status = {"kind": "Status", "message": message, "code": code}
    return lambda _: web.json_response(status, status=code, headers=headers)


def listed(*names: str, token: str = "", version: str = "7") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    metadata = {"resourceVersion": version, **({"continue": token} if token else {})}
    return lambda _: web.json_response({"metadata": metadata, "items": items})


ANSWERS = (
    (429, Throttled, "fewer calls"),
    (500, Unavailable, "500"),
    (503, Unavailable, "503"),
    (410, Gone, "no longer kept"),
    (409, Conflict, "no"),
    (422, Refused, "no"),
    (400, Refused, "no"),
    (403, Refused, "docs/kubernetes.md"),
    (401, Refused, "credentials"),
)


@pytest.mark.parametrize(("code", "kind", "told"), ANSWERS)
async def test_each_answer_is_told_as_what_it_is(server, client, code, kind, told):
    server.answers = [said(code)]

    with pytest.raises(kind, match=told) as caught:
        await client.apply(CONFIG_MAP, MANIFEST)

    assert type(caught.value) is kind
    assert "apply ConfigMap a" in str(caught.value)


async def test_how_long_to_wait_is_heard_and_bounded(server, client):
    waits = []
    for text in ("7", "soon", "-5", "1000000"):
        server.answers = [said(429, **{"Retry-After": text})]
        with pytest.raises(Throttled) as caught:
            await client.get(CONFIG_MAP, "n", "a")
        waits.append(caught.value.retry_after_seconds)

    assert waits == [7.0, None, 0.0, 300.0]


async def test_credentials_that_are_not_accepted_are_made_anew_once(server, client):
    server.answers = [said(401), lambda _: web.json_response(MANIFEST)]

    assert await client.get(CONFIG_MAP, "n", "a") == MANIFEST
    assert [one.headers["Authorization"] for one in server.asked] == ["Bearer one", "Bearer two"]


async def test_a_server_that_does_not_answer_in_time_is_unavailable(server, client):
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    server.answers = [never]
    with pytest.raises(Unavailable, match="did not answer in time"):
        await client.get(CONFIG_MAP, "n", "a")


async def test_an_answer_that_breaks_off_is_unavailable_and_never_a_part(server, client):
    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b'{"items": [')
        assert request.transport is not None
        request.transport.abort()
        return answer

    server.answers = [half]
    with pytest.raises(Unavailable):
        await client.pages(CONFIG_MAP)


async def test_what_is_not_there_is_none_and_deleting_it_is_no_error(server, client):
    server.answers = [said(404)]

    assert await client.get(CONFIG_MAP, "n", "a") is None
    assert await client.delete(CONFIG_MAP, "n", "a", uid="u") is False


async def test_a_list_is_read_page_by_page(server, client):
    server.answers = [listed("a", "b", token="next"), listed("c", version="9")]

    whole = await client.pages(CONFIG_MAP, labels="a=b")

    assert [one["metadata"]["name"] for one in whole.items] == ["a", "b", "c"]
    assert whole.version == "7"  # of the first page: the others show the same moment
    assert server.asked[1].query["continue"] == "next"


async def test_a_list_whose_pages_expired_begins_anew_and_not_for_ever(server, client):
    server.answers = [listed("a", token="next"), said(410), listed("b")]
    whole = await client.pages(CONFIG_MAP)
    assert [one["metadata"]["name"] for one in whole.items] == ["b"]

    server.asked.clear()
    server.answers = [said(410)]
    with pytest.raises(Gone):
        await client.pages(CONFIG_MAP)
    assert len(server.asked) == 3


async def test_a_delete_carries_the_uid(server, client):
    server.answers = [lambda _: web.json_response({})]

    assert await client.delete(CONFIG_MAP, "n", "a", uid="u-1", propagation="Foreground")
    assert b'"uid":"u-1"' in server.bodies[0]
    assert b'"propagationPolicy":"Foreground"' in server.bodies[0]


def events(*lines: bytes, ends: bool = True) -> Answer:
    async def stream(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        for line in lines:
            await answer.write(line)
        if not ends:
            await asyncio.sleep(5)
        return answer

    return stream


async def hear(client: Client, heard: list[str]) -> None:
    watching = client.watch(CONFIG_MAP, version="7", silent_seconds=0.2)
    async for event in watching:
        heard += [event.type]


ADDED = b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}\n'
BOOKMARK = b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}}\n'
EXPIRED = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}\n'


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (events(ADDED, BOOKMARK), Unavailable),
        (events(ADDED, BOOKMARK, ADDED[:20]), Unavailable),
        (events(ADDED, BOOKMARK, ends=False), Unavailable),
        (events(ADDED, BOOKMARK, EXPIRED), Gone),
    ],
    ids=["ended", "truncated", "silent", "expired"],
)
async def test_a_watch_tells_what_came_and_then_why_it_ended(server, client, answer, kind):
    server.answers = [answer]
    heard: list[str] = []

    with pytest.raises(kind):
        await hear(client, heard)

    assert heard == ["ADDED", "BOOKMARK"]
    assert server.asked[0].query["allowWatchBookmarks"] == "true"


async def test_nothing_that_was_sent_is_in_an_error(server, client):
    server.answers = [said(422, "spec.x: invalid"), said(401), said(500)]
    told = []
    for _ in range(3):
        with pytest.raises(DriverError) as caught:
            await client.apply(CONFIG_MAP, {**MANIFEST, "data": {"k": "hunter2"}})
        told.append(f"{caught.value!r} {caught.value.__cause__!r}")

    assert "hunter2" not in " ".join(told)
    assert "Bearer" not in " ".join(told)


async def test_a_closed_client_is_unavailable(client):
    await client.close()

    with pytest.raises(Unavailable, match="closed"):
        await client.version()


@pytest.mark.parametrize("body", [{}, [], "log in first", None])
async def test_what_is_no_api_server_is_unavailable_and_never_an_empty_world(server, client, body):
    server.answers = [lambda _: web.json_response(body)]

    with pytest.raises(Unavailable):
        await client.version()
    with pytest.raises(Unavailable):
        await client.pages(CONFIG_MAP)
