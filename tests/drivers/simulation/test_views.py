"""Views from a cache: behind the truth, older than the one before, and honest about it."""

import asyncio
from dataclasses import replace

import pytest

from drivers.base import Stamp, SupportsStamp
from drivers.simulation.faults import POLITE, TERRIBLE, Faults
from drivers.simulation.vandal import Vandal
from model.names import Moment
from model.objects import Health, Observed

from .sketch import OWNER, converge, create, delete, look, make, objects

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

BEHIND = Faults(lag=(20.0, 20.0))


async def fresh(driver) -> Observed:
    return await driver.observe(OWNER, frozenset(one.ref for one in objects(driver).values()), fresh=True)


async def test_a_view_shows_what_was_true_then_and_says_which_version_that_was():
    _, driver = make(BEHIND)
    await driver.open()
    settings = objects(driver)["settings"]
    await asyncio.sleep(10)
    applied = await driver.apply(OWNER, create(settings))

    await asyncio.sleep(19)
    early = await look(driver)
    await asyncio.sleep(2)
    late = await look(driver)

    assert settings.ref not in early.seen
    assert early.as_of[settings.ref.kind] < applied.version
    assert late.seen[settings.ref].uid == applied.uid
    assert late.as_of[settings.ref.kind] >= applied.version


async def test_a_fresh_look_is_never_behind_and_says_how_far_a_cache_must_be_to_be_believed():
    _, driver = make(BEHIND)
    await driver.open()
    settings = objects(driver)["settings"]
    await asyncio.sleep(10)
    applied = await driver.apply(OWNER, create(settings))

    observed = await fresh(driver)

    assert observed.seen[settings.ref].uid == applied.uid
    assert observed.as_of == dict.fromkeys(driver.kinds, applied.version)


async def test_without_a_lag_looks_are_at_the_world_itself():
    _, driver = make()
    await driver.apply(OWNER, create(objects(driver)["settings"]))

    observed = await look(driver)

    assert observed.seen
    assert observed.as_of == {}


async def test_the_first_view_after_the_opening_is_true():
    _, driver = make(BEHIND)
    settings = objects(driver)["settings"]
    await driver.open()
    await driver.apply(OWNER, create(settings))
    await driver.open()

    assert settings.ref in (await look(driver)).seen


async def test_what_is_behind_shows_the_old_health_the_deleted_and_the_stranger_of_then():
    world, driver = make(Faults(starting=(5.0, 5.0)))
    await driver.open()
    one = objects(driver)
    await driver.apply(OWNER, create(one["scheduler"]))
    uid = (await driver.apply(OWNER, create(one["settings"]))).uid
    Vandal(world).plant(one["migrate"].ref)
    world.faults = replace(BEHIND, lag=(4.0, 4.0))
    await asyncio.sleep(6)
    before = await look(driver)
    await driver.apply(OWNER, delete(one["settings"], uid))
    Vandal(world).remove(one["migrate"].ref)
    after = await look(driver)

    assert before.seen[one["scheduler"].ref].health is Health.PROGRESSING
    assert (after.seen, after.foreign) == (before.seen, before.foreign)
    await asyncio.sleep(8)
    assert one["settings"].ref not in (await look(driver)).seen
    assert (await look(driver)).seen[one["scheduler"].ref].health is Health.HEALTHY


async def test_views_go_forward_unless_the_world_travels_in_time():
    for travel, expected in ((0.0, False), (0.5, True)):
        _, driver = make(Faults(lag=(0.0, 10.0), time_travel=travel))
        await driver.open()
        went_back, reached = False, {}
        for number in range(40):
            settings = objects(driver)["settings"]
            await driver.apply(OWNER, delete(settings) if number % 2 else create(settings))
            as_of = (await look(driver)).as_of
            went_back = went_back or any(version < reached.get(kind, 0) for kind, version in as_of.items())
            reached = {kind: max(version, reached.get(kind, 0)) for kind, version in as_of.items()}
            await asyncio.sleep(1)

        assert went_back is expected


async def test_each_kind_is_behind_by_a_distance_of_its_own():
    _, driver = make(Faults(lag=(0.0, 60.0)))
    await driver.open()
    await asyncio.sleep(60)
    for _ in range(30):
        settings = objects(driver)["settings"]
        await driver.apply(OWNER, create(settings))
        await driver.apply(OWNER, delete(settings))
        await asyncio.sleep(1)

    assert len(set((await look(driver)).as_of.values())) > 3


async def test_a_broken_list_makes_its_kind_blind_with_a_sentence_and_is_never_a_part_of_it():
    _, driver = make()
    await converge(driver)
    whole = await look(driver)
    world, driver = make(Faults(blind=0.5))
    await converge(driver)
    broken = 0
    for _ in range(200):
        observed = await look(driver)
        broken += bool(observed.blind)
        assert all("410" in why for why in observed.blind.values())
        assert observed.seen.keys() == {ref for ref in whole.seen if ref.kind not in observed.blind}

    assert 60 < broken < 140
    assert world.injected["broken list"] >= broken


async def test_a_view_that_is_blind_to_a_kind_names_no_version_of_it():
    _, driver = make(Faults(lag=(1.0, 1.0), blind=1.0))
    await driver.open()
    observed = await look(driver)

    assert observed.blind
    assert observed.as_of.keys() == driver.kinds - observed.blind.keys()


async def test_an_edit_that_was_mended_long_ago_is_still_seen_by_who_is_behind():
    world, driver = make()
    await converge(driver)
    settings = objects(driver)["settings"].ref
    await driver.open()
    Vandal(world).edit(settings)
    world.faults = BEHIND
    await asyncio.sleep(25)
    seen = (await look(driver)).seen[settings]
    world.change(settings, actual=world.thing(settings).applied)
    await asyncio.sleep(10)

    assert [one.by for one in seen.drift] == ["a vandal"]
    assert (await look(driver)).seen[settings].drift == seen.drift
    assert (await fresh(driver)).seen[settings].drift == ()


async def test_a_restored_clusters_versions_go_backwards_and_views_say_so():
    world, driver = make()
    await converge(driver)
    await driver.open()
    world.faults = Faults(lag=(5.0, 5.0))
    await asyncio.sleep(10)
    before = (await look(driver)).as_of
    Vandal(world).wipe()
    behind = await look(driver)
    await asyncio.sleep(10)
    after = await look(driver)

    assert behind.as_of == before
    assert behind.seen
    assert after.seen == {}
    assert all(after.as_of[kind] < before[kind] for kind in before)


async def test_a_cluster_remembers_who_leads_it_until_it_is_made_again():
    world, driver = make()
    assert isinstance(driver, SupportsStamp)
    first, second = (Stamp(installation="i", epoch=epoch, moment=Moment(3)) for epoch in (1, 2))
    assert await driver.read_stamp() is None
    await driver.write_stamp(first)
    await asyncio.sleep(10)
    await driver.write_stamp(second)
    assert await driver.read_stamp() == second

    Vandal(world).restore(5)
    assert await driver.read_stamp() == first
    Vandal(world).wipe()
    assert await driver.read_stamp() is None


async def test_healed_views_are_the_truth_again():
    world, driver = make(replace(TERRIBLE, hangs=0, black_holes=0, lost_answers=0))
    world.faults = replace(POLITE, lag=(60.0, 60.0), time_travel=1.0)
    await driver.open()
    await asyncio.sleep(100)
    await driver.apply(OWNER, create(objects(driver)["settings"]))
    assert (await look(driver)).seen == {}

    world.heal()

    assert (await look(driver)).seen
    assert (await look(driver)).as_of == {}
