"""A watch of a server that lies, breaks off, repeats itself or falls silent: its shelf ends as the world is."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from random import Random

import pytest
from aiohttp import web
from kubernetes.client import Configuration

from drivers.kubernetes.client import Client
from drivers.kubernetes.credentials import Access
from drivers.kubernetes.kinds import RESOURCES
from drivers.kubernetes.names import INSTALLATION, Place
from drivers.kubernetes.shelf import Shelf
from drivers.kubernetes.watch import Patience, Watch
from model.names import Owner

from .lying import LIES, US, Stream, World

QUICK = Patience(silent_seconds=0.3, steady_seconds=0.1, least_seconds=0.01, most_seconds=0.1)


@pytest.fixture
def world() -> World:
    return World()


@asynccontextmanager
async def watching(world: World, patience: Patience = QUICK) -> AsyncIterator[tuple[Watch, Shelf, list[Owner]]]:
    """A watch of that world, and what it told."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", world.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = Client(Access(lambda: configuration), field_manager="us", timeout_seconds=1.0)
    await client.open()
    shelf, told = Shelf("ConfigMap", "us"), list[Owner]()
    watch = Watch(
        client=client,
        resource=RESOURCES["ConfigMap"],
        labels=f"{INSTALLATION}=us",
        shelf=shelf,
        news=told.extend,
        patience=patience,
        random=Random(1),
    )
    running = asyncio.create_task(watch.run())
    try:
        yield watch, shelf, told
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.close()
        await runner.cleanup()


async def until(is_so: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def shown(shelf: Shelf) -> dict[str, str]:
    return {one["metadata"]["name"]: one["data"]["k"] for one in shelf.of(US)}


def truth(world: World) -> dict[str, str]:
    return {name: one["data"]["k"] for name, one in world.there.items()}


@pytest.mark.parametrize("name", LIES)
async def test_after_every_lie_the_shelf_is_as_the_world(world: World, name: str):
    world.put("a")
    world.put("b")
    world.scripts = [LIES[name]]
    before = truth(world)

    async with watching(world) as (watch, shelf, told):
        await until(lambda: not world.scripts and truth(world) != before)
        await until(lambda: shown(shelf) == truth(world) and watch.is_current)

        assert US in told
        assert shelf.version <= world.version


async def test_where_it_was_is_where_it_goes_on_and_nothing_is_listed_again(world: World):
    world.put("a")
    world.scripts = [LIES[name] for name in ("truncated", "reset", "ended", "silent")]

    async with watching(world) as (_, shelf, __):
        await until(lambda: not world.scripts and shown(shelf) == truth(world))

    assert world.lists == 1
    versions = [int(version) for _, version in world.watched]
    assert versions == sorted(versions)


async def test_bookmarks_alone_move_the_version_and_are_no_news(world: World):
    world.put("a")
    async with watching(world) as (_, shelf, told):
        await until(lambda: shelf.version == world.version)
        told.clear()
        world.version += 50
        await until(lambda: shelf.version == world.version)

        assert told == []
        assert (world.lists, len(world.watched)) == (1, 1)


async def test_what_no_look_could_tell_apart_is_no_news(world: World):
    async def touched(world: World, stream: Stream) -> None:
        again = world.put("a")  # another version, nothing else
        again["metadata"]["managedFields"] = []
        await stream.say("MODIFIED", again)
        await stream.hang()

    world.put("a")
    world.scripts = [touched]
    async with watching(world) as (_, shelf, told):
        await until(lambda: shelf.version == world.version == 3)

        assert told == [US]


async def test_what_left_is_lost_until_somebody_asked_for_it_by_name(world: World):
    async def removed(world: World, stream: Stream) -> None:
        await stream.say("DELETED", world.remove("a"))
        await stream.hang()

    world.put("a")
    world.scripts = [removed]
    place = Place(kind="ConfigMap", namespace="n", name="a")
    async with watching(world) as (_, shelf, told):
        await until(lambda: shelf.lost(US) == {place})
        assert (shown(shelf), told) == ({}, [US, US])
        assert shelf.owners() == {US}

        shelf.found_gone(US, place)
        assert (shelf.lost(US), shelf.owners()) == (frozenset(), frozenset())


@pytest.mark.parametrize("code", [403, 429, 500])
async def test_a_watch_that_is_refused_is_not_current_and_asks_ever_more_slowly(world: World, code: int):
    world.refusals = [web.json_response({"message": "no"}, status=code) for _ in range(100)]
    patience = Patience(least_seconds=0.02, most_seconds=0.2)

    async with watching(world, patience) as (watch, _, __):
        await until(lambda: len(world.watched) == 6)
        assert not watch.is_current
        assert watch.tried.is_set()

    times = [at for at, _ in world.watched]
    waits = [after - before for before, after in pairwise(times)]
    assert all(wait >= 0.01 for wait in waits)
    assert sum(waits[2:]) > 0.3  # 0.08, 0.16, and then 0.2, half of it jittered
    assert world.lists == 1


async def test_how_long_the_server_asks_to_be_left_alone_is_heeded(world: World):
    world.refusals = [web.json_response({"message": "no"}, status=429, headers={"Retry-After": "1"})]

    async with watching(world) as (watch, _, __):
        await until(lambda: watch.is_current)

    (first, _), (second, _) = world.watched[:2]
    assert second - first >= 1.0


async def test_watches_that_end_at_once_again_and_again_do_not_become_a_storm(world: World):
    async def ended(_: World, __: Stream) -> None:
        return

    world.scripts = [ended] * 1000
    patience = Patience(steady_seconds=5.0, least_seconds=0.05, most_seconds=5.0)
    async with watching(world, patience):
        await until(lambda: len(world.watched) == 4)
        since = time.monotonic()
        await until(lambda: len(world.watched) == 5)

        assert time.monotonic() - since > 0.3  # twice as long each time: 0.1, 0.2, 0.4, 0.8, half of it jittered
