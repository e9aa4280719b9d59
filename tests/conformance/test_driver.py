"""The laws that every driver keeps. One suite for all of them, on real worlds and on the simulated one."""

import asyncio
from dataclasses import replace

import pytest

from drivers.base import Conflict, DriverError, Stamp, SupportsStamp, Unavailable
from model.names import AddressRef, Moment, SecretRef, text
from model.objects import Observed
from model.plan import Cause, Replace, Stop
from model.units import AnyUnit, Credentials, Database, Environment, Process, Settings, Task
from tests.conformance.rig import Rig, create, delete, update

# --- looking ----------------------------------------------------------------------------------------------


async def test_looking_changes_nothing(rig: Rig):
    empty = rig.fingerprint()
    await rig.observe()
    await rig.driver.owners()
    assert rig.fingerprint() == empty

    await rig.put_and_settle()
    made = rig.fingerprint()
    for _ in range(3):
        await rig.observe()
        await rig.driver.owners()

    assert rig.fingerprint() == made


async def test_of_nothing_nothing_is_seen(rig: Rig):
    observed = await rig.observe()

    assert (observed.seen, observed.foreign, observed.blind) == ({}, {}, {})
    assert await rig.driver.owners() == frozenset()


async def test_what_was_made_is_seen_with_our_digest_and_the_uid_that_was_answered(rig: Rig):
    uids = await rig.put()

    observed = await rig.settled()

    assert {ref: seen.uid for ref, seen in observed.seen.items()} == uids
    assert {ref: seen.digest for ref, seen in observed.seen.items()} == {
        one.ref: one.digest for one in rig.objects
    }
    assert all(ref == seen.ref for ref, seen in observed.seen.items())
    assert (observed.foreign, observed.blind) == ({}, {})


async def test_only_the_owners_own_things_are_seen(rig: Rig):
    await rig.put_and_settle()

    observed = await rig.observe(rig.other())

    assert observed.seen == {}
    assert observed.foreign.keys() == rig.refs


async def test_owners_of_anything_are_found_though_nobody_asks_for_it_any_more(rig: Rig):
    await rig.put()
    await rig.reopen()

    assert await rig.driver.owners() == {rig.owner}
    orphaned = await rig.driver.observe(rig.owner, frozenset())
    assert orphaned.seen.keys() == rig.refs


async def test_what_cannot_be_reached_is_blind_or_unavailable_and_never_empty(rig: Rig):
    await rig.put_and_settle()
    wanted = rig.objects[0]

    with rig.unreachable():
        with pytest.raises(Unavailable):
            await rig.driver.owners()
        with pytest.raises(Unavailable):
            await rig.apply(create(wanted))
        observed = await rig.blinded()

    assert not observed.seen
    assert all(observed.blind.values())
    await rig.settled()


async def test_blindness_at_the_opening_passes(rig: Rig):
    await rig.put_and_settle()
    await rig.driver.close()

    with rig.unreachable():
        rig.driver = rig.make_driver()
        with pytest.raises(Unavailable):
            await rig.driver.open()

    await rig.driver.open()
    await rig.settled()


# --- changing ---------------------------------------------------------------------------------------------


async def test_applying_twice_equals_applying_once(rig: Rig):
    uids = await rig.put()
    await rig.settled()
    before = rig.fingerprint()

    again = await rig.put()
    updated = {one.ref: await rig.apply(update(one, uids[one.ref])) for one in rig.objects}

    assert rig.fingerprint() == before
    assert again == updated == uids


async def test_changes_behind_our_back_are_seen_and_repaired(rig: Rig):
    before = await rig.put_and_settle()
    for name, vandalise in rig.vandals.items():
        vandalise()

        found = await rig.until(lambda observed: not _is_as_applied(observed, before))
        await rig.repair()

        after = await rig.settled()
        assert all(one.what for seen in found.seen.values() for one in seen.drift), name
        assert {ref: seen.digest for ref, seen in after.seen.items()} == {
            one.ref: one.digest for one in rig.objects
        }


def _is_as_applied(observed: Observed, before: Observed) -> bool:
    same = observed.seen.keys() == before.seen.keys()
    return same and not any(seen.drift or seen.digest is None for seen in observed.seen.values())


async def test_what_runs_is_adopted_by_a_new_driver_and_not_touched(rig: Rig):
    before = await rig.put_and_settle()
    world = rig.fingerprint()

    await rig.reopen()

    after = await rig.settled()
    assert {ref: seen.uid for ref, seen in after.seen.items()} == {
        ref: one.uid for ref, one in before.seen.items()
    }
    assert rig.fingerprint() == world


async def test_a_write_that_was_cut_off_can_be_finished_by_the_next(rig: Rig):
    """Each object's creation is cut off ever later, until it wins the race."""
    for one in rig.objects:
        for share in range(60):
            writing = asyncio.ensure_future(rig.driver.apply(rig.owner, create(one)))
            await rig.let_run(share)
            if writing.done():
                await writing
                break
            writing.cancel()
            await asyncio.wait({writing})
            assert not (await rig.observe()).foreign
        await rig.apply(create(one))
    await rig.repair()

    await rig.settled()


async def test_the_update_of_another_object_than_the_one_seen_is_a_conflict(rig: Rig):
    await rig.put_and_settle()
    before = rig.fingerprint()

    for one in rig.objects:
        with pytest.raises(Conflict):
            await rig.apply(update(one, "another"))
        with pytest.raises(Conflict):
            await rig.apply(delete(one, "another"))

    assert rig.fingerprint() == before


async def test_stopping_keeps_the_object_and_an_update_starts_it_again(rig: Rig):
    before = await rig.put_and_settle()
    for one in rig.objects:
        stop = Stop(ref=one.ref, unit=one.unit, cause=Cause.GENERATION, why="?", uid=before.seen[one.ref].uid)
        await rig.apply(stop)

    stopped = await rig.until(lambda observed: all(seen.running == 0 for seen in observed.seen.values()))
    assert stopped.seen.keys() == rig.refs
    tasks = [one.ref for one in rig.objects if one.unit == "migrate"]
    for one in rig.objects:
        if one.ref in tasks:
            await rig.apply(Replace(object=one, cause=Cause.RETRY, why="again", uid=stopped.seen[one.ref].uid))
    await rig.repair()

    await rig.settled()


# --- what is not ours -------------------------------------------------------------------------------------


async def test_what_is_not_ours_is_reported_and_never_touched(rig: Rig):
    rig.plant()
    planted = rig.fingerprint()

    observed = await rig.observe()
    for one in rig.objects:
        if one.ref in observed.foreign:
            with pytest.raises(DriverError):
                await rig.apply(create(one))
            with pytest.raises(DriverError):
                await rig.apply(update(one, "1"))
            await _delete_anyway(rig, one)

    assert rig.objects[0].ref in observed.foreign
    assert rig.objects[0].ref not in observed.seen
    assert all(observed.foreign.values())
    assert rig.fingerprint() == planted


async def _delete_anyway(rig: Rig, one) -> None:
    try:
        await rig.apply(delete(one, "1"))
    except Conflict:
        return


async def test_what_is_another_owners_is_never_touched(rig: Rig):
    before = await rig.put_and_settle()
    world = rig.fingerprint()

    for one in rig.objects:
        with pytest.raises(Conflict):
            await rig.driver.apply(rig.other(), create(one))
        with pytest.raises(Conflict):
            await rig.driver.apply(rig.other(), delete(one, before.seen[one.ref].uid))

    assert rig.fingerprint() == world


# --- removing ---------------------------------------------------------------------------------------------


async def test_deletion_ends_with_nothing_and_may_be_repeated(rig: Rig):
    before = await rig.put_and_settle()

    await rig.delete_all()

    for one in rig.objects:
        assert await rig.apply(delete(one, before.seen[one.ref].uid)) == ""
    assert (await rig.observe()).seen == {}
    assert await rig.driver.owners() == frozenset()


async def test_what_was_deleted_can_be_made_again_and_is_another(rig: Rig):
    before = await rig.put_and_settle()
    await rig.delete_all()

    after = await rig.put_and_settle()

    assert not {seen.uid for seen in before.seen.values()} & {seen.uid for seen in after.seen.values()}


# --- secrets ----------------------------------------------------------------------------------------------


async def test_secrets_are_in_nothing_that_is_returned_or_raised(rig: Rig):
    told: list[object] = [rig.objects, await rig.put(), await rig.settled(), await rig.driver.owners()]
    for one in rig.objects:
        for owner, action in ((rig.other(), create(one)), (rig.owner, update(one, "another"))):
            with pytest.raises(DriverError) as caught:
                await rig.driver.apply(owner, action)
            told += [caught.value, caught.value.__cause__, caught.value.__context__]
    for vandalise in rig.vandals.values():
        vandalise()
        told.append(await rig.observe())
        await rig.repair()
    with rig.unreachable():
        told.append(await rig.look())

    assert rig.secrets
    for secret in rig.secrets:
        assert not any(secret in repr(one) for one in told)


# --- translating ------------------------------------------------------------------------------------------


async def test_translating_is_pure(rig: Rig):
    for unit in rig.units:
        assert rig.driver.translate(unit, rig.site) == rig.driver.translate(unit, rig.site)
        assert rig.make_driver().translate(unit, rig.site) == rig.driver.translate(unit, rig.site)
    kinds = {one.ref.kind for one in rig.objects}
    assert kinds == rig.driver.kinds
    assert {type(unit) for unit in rig.units} == rig.driver.units


async def test_no_two_units_have_an_object_of_one_name(rig: Rig):
    assert len({one.ref for one in rig.objects}) == len(rig.objects)


async def test_a_digest_ignores_nothing_that_matters(rig: Rig):
    for unit in rig.units:
        before = [one.digest for one in rig.driver.translate(unit, rig.site)]
        for changed in variants(unit, str(rig.owner), rig.other_image):
            after = [one.digest for one in rig.driver.translate(changed, rig.site)]
            assert after != before, changed


async def test_needs_and_retention_are_no_part_of_a_digest(rig: Rig):
    for unit in rig.units:
        before = [one.digest for one in rig.driver.translate(unit, rig.site)]
        other = replace(unit, retain=not unit.retain)
        assert [one.digest for one in rig.driver.translate(other, rig.site)] == before
        assert all(one.retain == other.retain for one in rig.driver.translate(other, rig.site))


async def test_the_address_of_another_unit_is_part_of_a_digest(rig: Rig):
    for unit in rig.units:
        if not isinstance(unit, Process | Task):
            continue
        asking = replace(unit, env={"URL": text("http://", AddressRef("api-server", "http"))})
        ports = ({**rig.site.ports, ("api-server", "http"): port} for port in (20000, 20016))
        here, there = (replace(rig.site, ports=each) for each in ports)
        assert _digests(rig, asking, here) != _digests(rig, asking, there)


async def test_scaling_is_done_in_place(rig: Rig):
    for unit in rig.units:
        if isinstance(unit, Process):
            few, more = (rig.driver.translate(each, rig.site) for each in (unit, replace(unit, replicas=3)))
            assert [one.frozen_digest for one in few] == [one.frozen_digest for one in more]
            assert [one.digest for one in few] != [one.digest for one in more]


async def test_a_stamp_is_remembered_by_the_world_and_not_by_the_driver(rig: Rig):
    if not isinstance(rig.driver, SupportsStamp):
        pytest.skip("this driver's world keeps no stamp")
    assert await rig.driver.read_stamp() is None
    stamp = Stamp(installation="ours", epoch=3, moment=Moment(41, "a1b2"))
    await rig.driver.write_stamp(stamp)

    await rig.driver.close()
    other = rig.make_driver()
    await other.open()
    try:
        assert await other.read_stamp() == stamp
    finally:
        await other.close()


def _digests(rig: Rig, unit: AnyUnit, site) -> list[str]:
    return [one.digest for one in rig.driver.translate(unit, site)]


def variants(unit: AnyUnit, owner: str, image: str) -> list[AnyUnit]:
    """The unit with one thing changed that matters, for each such thing."""
    newer = SecretRef(owner, "password", 2)
    match unit:
        case Settings() | Credentials():
            changed: list[AnyUnit] = [
                replace(unit, files={**unit.files, "more": text("1")}),
                replace(unit, files={next(iter(unit.files)): text("changed")}),
            ]
            if isinstance(unit, Credentials):
                changed.append(replace(unit, files={next(iter(unit.files)): text("x", newer)}))
            return changed
        case Process() | Task():
            common: list[AnyUnit] = [
                replace(unit, env={**unit.env, "MORE": text("1")}),
                replace(unit, env={"KEY": text("x", newer)}),
                replace(unit, command=(*unit.command, "--more")),
                replace(unit, image=image),
            ]
            if isinstance(unit, Process):
                common += [replace(unit, restarted_at="2030-01-01T00:00:00Z"), replace(unit, replicas=0)]
            return common
        case Database():
            return [
                replace(unit, owner_password=newer),
                replace(unit, user_password=newer),
                replace(unit, user="other"),
                replace(unit, owner="other"),
            ]
        case Environment():
            return [replace(unit, image=image)]
        case _:
            return []
