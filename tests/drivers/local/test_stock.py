"""The stock of runtimes: who uses them is known from what is there, and nobody loses one that is needed."""

import json

import pytest

from drivers.local.runtime import read_locks, runtime_folder
from drivers.local.stock import InUseError, remove, stock
from tests.drivers.local.test_runtime import TINY, use_lock
from tests.drivers.local.world import RELEASE, VERSION, World, process


def offered(world: World):
    (lock,) = read_locks({VERSION: world.locks[VERSION]}).values()
    return runtime_folder(lock), {VERSION: lock}


async def test_a_runtime_is_used_by_the_deployment_that_runs_from_it(world: World):
    folder, locks = offered(world)
    await world.put(process())
    await world.healthy(world.object(process()).ref)

    (found,) = stock(world.home, locks)
    assert (found.folder, found.used_by, found.is_offered) == (folder, (RELEASE,), True)
    with pytest.raises(InUseError, match=RELEASE):
        remove(world.home, folder)
    assert (world.home / "runtimes" / folder / "runtime.json").exists()


async def test_what_still_runs_from_the_former_runtime_keeps_it(world: World):
    former, _ = offered(world)
    await world.put(process())
    await world.healthy(world.object(process()).ref)
    await use_lock(world, TINY)
    await world.put()  # the environment alone: the process was not restarted yet

    with pytest.raises(InUseError, match=RELEASE):
        remove(world.home, former)


async def test_a_runtime_that_nobody_uses_goes_with_its_link_and_its_build(world: World):
    folder, locks = offered(world)
    link = world.home / "runtimes" / VERSION
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    (world.home / "runtimes" / f"{folder}.build").mkdir()
    await world.put(process())
    await world.delete_all()

    assert remove(world.home, folder) > 0
    assert list((world.home / "runtimes").iterdir()) == []
    (found,) = stock(world.home, locks)
    assert (found.state.condition, found.size_bytes) == ("absent", 0)


async def test_one_that_was_half_removed_is_removed_whole(world: World):
    folder, _ = offered(world)
    place = world.home / "runtimes" / folder
    place.rename(place.with_name(f"{folder}.going"))

    remove(world.home, folder)
    assert not any((world.home / "runtimes").glob(f"{folder}*"))


async def test_who_cannot_be_read_counts_as_a_user(world: World):
    folder, locks = offered(world)
    await world.put(process())
    (record,) = world.root.glob("objects/Environment*.json")
    record.write_text(json.dumps([]))

    with pytest.raises(InUseError, match="cannot be read"):
        remove(world.home, folder)
    with pytest.raises(InUseError, match="cannot be read"):
        stock(world.home, locks)


async def test_one_of_an_earlier_release_is_told_apart_from_a_build_that_broke_off(world: World):
    runtimes = world.home / "runtimes"
    for name, is_whole in (("3.0.0-0123abcd", True), ("valkey-9.0.0-0123abcd", False)):
        (runtimes / name).mkdir(parents=True)
        if is_whole:
            (runtimes / name / "runtime.json").write_text("{}")

    found = {one.image: (one.state.condition, one.is_offered) for one in stock(world.home, {})}
    assert found["airflow:3.0.0"] == ("ready", False)
    assert found["valkey:9.0.0"] == ("failed", False)


def test_a_home_that_is_not_there_is_no_empty_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        stock(tmp_path / "gone", {})
