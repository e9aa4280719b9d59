"""Calls: each way in which one can fail, and whether anything happened then."""

import asyncio

import pytest

from drivers.base import Conflict, DriverError, Refused, Throttled, Unavailable
from drivers.simulation.driver import SimulationDriver
from drivers.simulation.faults import Faults

from .sketch import OWNER, converge, create, delete, look, make, objects, reveal, update

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@pytest.mark.parametrize(
    ("faults", "error", "counted"),
    [
        (Faults(unavailable_before=1.0), Unavailable, "unavailable before"),
        (Faults(throttled=1.0), Throttled, "throttled"),
        (Faults(conflicts=1.0), Conflict, "conflict"),
        (Faults(refusals=1.0), Refused, "refused"),
        (Faults(down=1.0, spell=(9.0, 9.0)), Unavailable, "down"),
        (Faults(quota=1.0, spell=(9.0, 9.0)), Refused, "quota"),
    ],
)
async def test_what_is_turned_away_at_the_door_has_had_no_effect_and_is_counted(faults, error, counted):
    world, driver = make(faults)
    with pytest.raises(error):
        await driver.apply(OWNER, create(objects(driver)["settings"]))

    assert (world.things(), world.writes) == ((), [])
    assert world.injected == {counted: 1}


@pytest.mark.parametrize(
    ("faults", "counted"),
    [(Faults(unavailable_after=1.0), "unavailable after"), (Faults(lost_answers=1.0), "lost answer")],
)
async def test_what_is_lost_on_the_way_back_has_had_its_effect_and_is_counted(faults, counted):
    world, driver = make(faults)
    settings = objects(driver)["settings"]
    with pytest.raises((Unavailable, TimeoutError)):
        async with asyncio.timeout(30):
            await driver.apply(OWNER, create(settings))

    assert [(one.verb, one.ref) for one in world.writes] == [("create", settings.ref)]
    assert world.injected == {counted: 1}


async def test_a_429_says_how_long_to_wait_if_it_says_anything():
    _, driver = make(Faults(throttled=1.0, retry_after=(3.0, 3.0)))
    _, silent = make(Faults(throttled=1.0))
    with pytest.raises(Throttled) as told:
        await look(driver)
    with pytest.raises(Throttled) as untold:
        await look(silent)

    assert (told.value.retry_after_seconds, untold.value.retry_after_seconds) == (3.0, None)


async def test_in_a_black_hole_every_call_hangs_until_it_is_cancelled():
    world, driver = make()
    await converge(driver)
    world.is_black_hole = True
    settings = objects(driver)["settings"]
    calls = (
        look(driver),
        driver.owners(),
        driver.open(),
        driver.read_stamp(),
        driver.apply(OWNER, create(settings)),
    )
    for call in calls:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await call

    world.is_black_hole = False
    assert (await look(driver)).seen


async def test_a_slow_call_takes_its_time_and_succeeds():
    world, driver = make(Faults(slow=1.0, slowness=(12.0, 12.0)))
    start = asyncio.get_running_loop().time()
    await look(driver)

    assert asyncio.get_running_loop().time() - start == pytest.approx(12.0)
    assert world.injected == {"slow": 1}


async def test_a_spell_ends_by_itself():
    world, driver = make(Faults(down=1.0, spell=(20.0, 20.0)))
    with pytest.raises(Unavailable):
        await look(driver)
    world.faults = Faults()
    await asyncio.sleep(19)
    with pytest.raises(Unavailable):
        await look(driver)
    await asyncio.sleep(2)

    assert (await look(driver)).blind == {}
    assert world.injected == {"down": 1}


async def test_a_forbidden_kind_can_neither_be_seen_nor_written_for_a_while():
    world, driver = make(Faults(forbidden=0.02, spell=(9999.0, 9999.0)))
    settings = objects(driver)["settings"]
    for _ in range(9999):
        if settings.ref.kind in (observed := await look(driver)).blind:
            break

    assert "403" in observed.blind[settings.ref.kind]
    with pytest.raises(Refused, match="403"):
        await driver.apply(OWNER, create(settings))
    world.heal()
    assert (await look(driver)).blind == {}
    await driver.apply(OWNER, create(settings))


async def test_a_quota_refuses_what_is_new_and_nothing_else():
    world, driver = make()
    await converge(driver)
    world.faults = Faults(quota=1.0, spell=(50.0, 50.0))
    settings = objects(driver)["settings"]
    await driver.apply(OWNER, create(settings))
    await driver.apply(OWNER, delete(settings))

    with pytest.raises(Refused, match="quota"):
        await driver.apply(OWNER, create(settings))


async def test_a_list_of_owners_that_broke_off_is_no_list():
    _, driver = make(Faults(blind=1.0))
    with pytest.raises(Unavailable, match="410"):
        await driver.owners()


async def test_a_deletion_waits_for_somebodys_finalizer_and_says_whose():
    world, driver = make(Faults(finalizers=1.0, finalizing=(500.0, 500.0)))
    settings = objects(driver)["settings"]
    await driver.apply(OWNER, create(settings))
    await driver.apply(OWNER, delete(settings))
    await asyncio.sleep(400)

    assert "example.org/protect" in (await look(driver)).seen[settings.ref].detail
    with pytest.raises(Unavailable):
        await driver.apply(OWNER, create(settings))
    world.heal()
    assert (await look(driver)).seen == {}
    await driver.apply(OWNER, create(settings))


async def test_a_process_that_crash_loops_is_unhealthy_for_a_while_and_then_starts():
    world, driver = make(Faults(crash_loops=1.0, crashing=(30.0, 30.0), starting=(5.0, 5.0)))
    scheduler = objects(driver)["scheduler"]
    await driver.apply(OWNER, create(scheduler))
    healths = []
    for _ in range(3):
        healths.append((await look(driver)).seen[scheduler.ref].health)
        await asyncio.sleep(32 if len(healths) == 1 else 5)

    assert healths == ["unhealthy", "progressing", "healthy"]
    assert world.starts[scheduler.ref] == 1


async def test_a_write_does_not_overwrite_what_took_its_place_meanwhile():
    world, driver = make(Faults(latency=(1.0, 1.0)))
    settings = objects(driver)["settings"]
    writing = asyncio.ensure_future(driver.apply(OWNER, create(settings)))
    await asyncio.sleep(1.5)
    world.change(settings.ref, uid="another")

    with pytest.raises(Conflict):
        await writing
    assert world.thing(settings.ref).uid == "another"
    assert world.writes == []


async def test_of_two_daemons_that_write_one_thing_at_once_one_has_an_effect_and_the_other_a_conflict():
    world, driver = make(Faults(latency=(1.0, 1.0)))
    other = SimulationDriver(world=world, reveal=reveal, name="other")
    scheduler = objects(driver)["scheduler"]
    answers = await asyncio.gather(
        driver.apply(OWNER, create(scheduler)), other.apply(OWNER, create(scheduler)), return_exceptions=True
    )

    assert [type(one) for one in answers].count(Conflict) == 1
    assert len(world.writes) == world.starts[scheduler.ref] == 1
    assert (await look(driver)).seen[scheduler.ref].digest == scheduler.digest


async def test_a_write_that_is_cut_off_is_seen_as_unfinished_and_can_be_finished():
    world, driver = make(Faults(latency=(1.0, 1.0)))
    settings = objects(driver)["settings"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await driver.apply(OWNER, create(settings))

    assert (await look(driver)).seen[settings.ref].digest is None
    assert world.writes == []
    await driver.apply(OWNER, update(settings))
    assert (await look(driver)).seen[settings.ref].digest == settings.digest


async def test_every_write_says_by_whom_at_which_version_and_with_what_uid():
    world, driver = make()
    settings = objects(driver)["settings"]
    applied = await driver.apply(OWNER, create(settings))

    (write,) = world.writes
    assert (write.by, write.owner, write.digest) == ("armillary", str(OWNER), settings.digest)
    assert (write.uid, write.version) == (applied.uid, applied.version)
    assert world.version == applied.version > 1


async def test_errors_are_sentences_that_name_their_object():
    for faults in (Faults(conflicts=1.0), Faults(refusals=1.0), Faults(quota=1.0, spell=(1.0, 1.0))):
        _, driver = make(faults)
        settings = objects(driver)["settings"]
        with pytest.raises(DriverError, match=str(settings.ref)):
            await driver.apply(OWNER, create(settings))
