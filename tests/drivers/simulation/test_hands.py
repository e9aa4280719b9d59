"""Others' hands: whoever changes what is ours, once, again and again, or all of it at once; and the healing."""

import asyncio
from dataclasses import replace

import pytest

from drivers.base import Conflict
from drivers.simulation.faults import POLITE, TERRIBLE, Faults
from drivers.simulation.vandal import Vandal
from model.names import Owner, Ref
from model.units import Database

from .sketch import OWNER, SECRET, SITE, converge, create, delete, look, make, objects, update

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

SURVIVABLE = replace(TERRIBLE, hangs=0.0, black_holes=0.0, lost_answers=0.0)
"""All that a reconciler of ten lines, which cancels nothing, lives through."""


def by(observed, ref) -> list[str]:
    return [one.by for one in observed.seen[ref].drift]


async def test_what_is_made_again_under_its_name_is_ours_and_another():
    world, driver = make()
    await converge(driver)
    settings = objects(driver)["settings"]
    before = world.thing(settings.ref).uid
    Vandal(world).recreate(settings.ref)

    seen = (await look(driver)).seen[settings.ref]
    assert seen.uid != before
    with pytest.raises(Conflict):
        await driver.apply(OWNER, delete(settings, before))
    await driver.apply(OWNER, update(settings, seen.uid))


async def test_a_webhook_undoes_each_write_while_it_is_there():
    world, driver = make()
    await converge(driver)
    settings = objects(driver)["settings"]
    Vandal(world).hook(settings.ref, 60)
    Vandal(world).edit(settings.ref)
    for _ in range(3):
        await driver.apply(OWNER, update(settings))
        assert by(await look(driver), settings.ref) == ["webhook/defaults.example.org"]
    assert world.injected == {"webhook": 3}

    await asyncio.sleep(60)
    assert by(await look(driver), settings.ref) == ["webhook/defaults.example.org"]
    await driver.apply(OWNER, update(settings))
    assert by(await look(driver), settings.ref) == []


async def test_a_flapper_changes_a_field_ten_times_a_second_and_undoes_repairs():
    world, driver = make()
    await converge(driver)
    settings = objects(driver)["settings"]
    version = world.version
    Vandal(world).flap(settings.ref, 20.05)
    found = []
    for _ in range(100):
        await asyncio.sleep(0.1)
        found.append(by(await look(driver), settings.ref))
    assert found.count(["flapper"]) == 50
    assert found.count([]) == 50
    await driver.apply(OWNER, update(settings))
    await asyncio.sleep(30)

    await look(driver)
    assert world.injected == {"flapper": 200}
    assert world.version > version + 50
    await driver.apply(OWNER, update(settings))
    await asyncio.sleep(30)
    assert by(await look(driver), settings.ref) == []


async def test_a_flapper_is_heard_once_a_second_though_it_flaps_ten_times():
    world, driver = make()
    await converge(driver)
    await driver.open()
    Vandal(world).flap(objects(driver)["settings"].ref, 10)
    heard = 0

    async def listen() -> None:
        nonlocal heard
        async for _ in driver.watch():
            heard += 1
            await look(driver)

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(60)
    await driver.close()
    await listening

    assert 8 <= heard <= 24


async def test_a_cluster_made_again_is_empty_but_for_databases_and_its_things_are_others():
    world, driver = make()
    await converge(driver)
    data = Database(
        name="db", component="d", database="d", owner="o", owner_password=SECRET, user="u", user_password=SECRET
    )
    (database,) = driver.translate(data, SITE)
    await driver.apply(OWNER, create(database))
    before = {one.ref: one.uid for one in world.things()}
    version = world.version
    Vandal(world).wipe()

    assert [one.ref for one in world.things()] == [database.ref]
    assert world.version < version
    for one in objects(driver).values():
        await driver.apply(OWNER, create(one))
    assert {ref for ref, uid in before.items() if world.thing(ref).uid == uid} == {database.ref}


async def test_a_restored_cluster_is_as_it_was_with_versions_uids_and_what_was_deleted_since():
    world, driver = make()
    await converge(driver)
    await asyncio.sleep(10)
    then, version = world.things(), world.version
    await asyncio.sleep(10)
    settings, scheduler = objects(driver)["settings"], objects(driver)["scheduler"]
    await driver.apply(OWNER, delete(settings))
    await driver.apply(Owner("deployment", "13"), create(replace(settings, ref=replace(settings.ref, name="new"))))
    Vandal(world).edit(scheduler.ref)
    Vandal(world).restore(5)

    assert (world.things(), world.version) == (then, version)
    assert await driver.owners() == {OWNER}
    assert (await look(driver)).seen.keys() == {one.ref for one in then}


async def test_strangers_are_told_in_the_same_order_in_every_run():
    world, driver = make()
    places = [Ref("Sim.Settings", f"demo.{number}") for number in range(30)]
    for place in places:
        Vandal(world).plant(place)

    observed = await driver.observe(OWNER, frozenset(places))

    assert list(observed.foreign) == sorted(places)


async def test_a_person_takes_strangers_away_and_gives_marks_back():
    world, driver = make()
    await converge(driver)
    vandal = Vandal(world)
    settings, scheduler = objects(driver)["settings"].ref, objects(driver)["scheduler"].ref
    vandal.plant(settings)
    vandal.relabel(scheduler, installation="another", owner="deployment/1")
    assert (await look(driver)).foreign.keys() == {settings, scheduler}

    assert vandal.repent() == [settings, scheduler]

    assert (await look(driver)).foreign == {}
    assert (await look(driver)).seen.keys() >= {scheduler}
    assert vandal.repent() == []


async def test_a_vandal_does_only_what_the_faults_give_a_weight():
    world, driver = make(Faults(strikes=(1.0, 1.0)))
    await converge(driver)
    vandal = Vandal(world)
    assert vandal.strike() == ""

    weights = ("edits", "removals", "kills", "recreations", "copies", "webhooks", "flappers", "relabels")
    for name in (*weights, "strangers", "wipes", "restores"):
        world, driver = make(replace(POLITE, **{name: 1.0}))
        await converge(driver)
        assert Vandal(world).strike(), name
        assert sum(world.injected.values()) == 1, name


async def test_a_vandal_never_takes_data_away():
    world, driver = make(replace(TERRIBLE, meddling=(1.0, 1.0)))
    data = Database(
        name="db", component="d", database="d", owner="o", owner_password=SECRET, user="u", user_password=SECRET
    )
    (database,) = driver.translate(data, SITE)
    world.faults = POLITE
    uid = (await driver.apply(OWNER, create(database))).uid
    world.faults = TERRIBLE
    for _ in range(200):
        Vandal(world).strike()

    assert world.thing(database.ref).uid == uid
    assert world.thing(database.ref).claim == ("simulated", str(OWNER))


async def test_a_roaming_vandal_strikes_now_and_then_until_there_is_peace():
    world, driver = make(replace(POLITE, strikes=(5.0, 15.0), edits=1.0))
    await converge(driver)
    roaming = asyncio.ensure_future(Vandal(world).roam())
    await asyncio.sleep(300)
    assert 15 <= world.injected["edit"] <= 60
    world.heal()
    struck = world.injected["edit"]
    await asyncio.sleep(300)

    assert roaming.done()
    assert world.injected["edit"] == struck


@pytest.mark.parametrize("seed", range(5))
async def test_after_the_healing_nothing_more_is_injected_and_all_can_be_mended(seed: int):
    world, driver = make(SURVIVABLE, seed)
    vandal = Vandal(world)
    roaming = asyncio.ensure_future(vandal.roam())
    for _ in range(60):
        try:
            async with asyncio.timeout(30):
                await converge(driver)
        except (TimeoutError, AssertionError):
            pass
        await asyncio.sleep(1)
    assert len(world.injected) > 12
    world.is_down = world.is_black_hole = True
    world.blind["Sim.Task"] = "403"

    world.heal()
    vandal.repent()
    injected = world.injected.copy()
    await converge(driver)
    await asyncio.sleep(100)
    writes = len(world.writes)
    await converge(driver)

    assert world.injected == injected
    assert len(world.writes) == writes
    assert vandal.strike() == vandal.act() == ""
    await roaming


async def test_two_clusters_share_no_kind_and_no_thing():
    world, _ = make()
    first, second = (
        type(make()[1])(world=one, cluster=name, reveal=lambda _: asyncio.sleep(0, "x"))
        for one, name in ((world, "east"), (make()[0], "west"))
    )
    for one in objects(first).values():
        await first.apply(OWNER, create(one))

    assert not first.kinds & second.kinds
    assert all(kind.startswith("east/Sim.") for kind in first.kinds)
    assert {one.ref.kind for one in objects(first).values()} < first.kinds
    assert {ref.kind for ref in (await look(first)).seen} < first.kinds
    assert (await look(second)).seen == {}
