"""A home for each test, and a tiny HTTP server that answers what a test says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from cli.client import Client, Endpoint
from cli.home import Home

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that does not exist yet."""
    return Home(tmp_path / "home")


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[str]]]:
    """Start a server that answers every request with a handler; its URL."""
    runners: list[web.AppRunner] = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def client(serve) -> AsyncIterator[Callable[[Handler], Awaitable[Client]]]:
    """A client of such a server, with the token `secret`."""
    clients: list[Client] = []

    async def make(handler: Handler) -> Client:
        made = await Client(Endpoint(await serve(handler), "secret")).__aenter__()
        clients.append(made)
        return made

    yield make
    for one in clients:
        await one.__aexit__(None, None, None)


def answer(status: int, document: object = None, **headers: str) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, text=json.dumps(document), content_type="application/json", headers=headers)
