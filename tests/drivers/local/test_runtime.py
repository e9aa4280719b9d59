"""Runtimes: really built from a tiny lock; broken, removed and failed ones said and repaired."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import Refused
from drivers.local import runtime
from drivers.local.driver import LocalDriver
from drivers.local.records import Records
from drivers.local.runtime import read_locks, runtime_folder, shipped_locks
from model.names import Ref
from model.objects import Health
from model.units import Environment
from tests.drivers.local.world import INSTALLATION, RELEASE, VERSION, World, make_driver, process, reveal

ENVIRONMENT = Ref("Environment", RELEASE)
TINY = """six==1.17.0 \\
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274 \\
    --hash=sha256:ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81
"""


async def use_lock(world: World, content: str) -> Path:
    """Have the world build its runtime from another lock. Returns the runtime's folder."""
    lock = world.home.parent / "another.txt"
    lock.write_text(content)
    world.locks = {VERSION: lock}
    await world.driver.close()
    world.driver = make_driver(world.home, world.locks)
    await world.driver.open()
    return world.home / "runtimes" / runtime_folder(read_locks(world.locks)[VERSION])


async def test_a_runtime_is_built_from_its_lock_compiled_and_shared(world: World):
    folder = await use_lock(world, TINY)

    await world.put()
    building = await world.see(ENVIRONMENT)
    await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.HEALTHY, seconds=60.0)
    stamp = (folder / "runtime.json").stat().st_mtime_ns
    await world.put()

    assert building.health is Health.PROGRESSING
    assert _output(folder / "bin/python", "-c", "import six; print(six.__version__)") == "1.17.0\n"
    assert list(folder.glob("lib/*/site-packages/__pycache__/six.*.pyc"))
    assert (folder.with_name(VERSION) / "bin/python").exists()
    assert (folder / "runtime.json").stat().st_mtime_ns == stamp


async def test_a_removed_or_broken_runtime_is_drift_and_is_built_again(world: World):
    folder = await use_lock(world, TINY)
    await world.put()
    await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.HEALTHY, seconds=60.0)

    (folder / "runtime.json").unlink()
    (folder / "broken").write_text("half")
    what = await world.drifted(ENVIRONMENT)
    await world.put()
    await world.until_seen(
        ENVIRONMENT, lambda seen: seen.health is Health.HEALTHY and not seen.drift, seconds=60.0
    )
    is_clean = not (folder / "broken").exists()
    shutil.rmtree(folder)
    gone = await world.drifted(ENVIRONMENT)

    assert "runtime of Airflow" in what
    assert is_clean
    assert "is not in" in gone


async def test_a_build_without_network_fails_saying_what_to_do_and_is_retried(world: World, monkeypatch):
    monkeypatch.setenv("UV_CACHE_DIR", str(world.home / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    await use_lock(world, TINY)

    await world.put()
    seen = await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.FAILED, seconds=60.0)
    monkeypatch.delenv("UV_CACHE_DIR")
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    await world.put()
    await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.HEALTHY, seconds=60.0)

    assert "could not be downloaded; check the network" in seen.detail
    assert "output.log" in seen.detail
    assert not seen.drift


async def test_a_build_without_disk_space_fails_saying_how_much_is_needed(world: World, monkeypatch):
    monkeypatch.setattr(runtime, "_FREE_BYTES_MIN", 10**18)
    folder = await use_lock(world, TINY)

    await world.put()
    seen = await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.FAILED, seconds=60.0)

    assert "MiB are needed; free some" in seen.detail
    assert not folder.exists()


async def test_a_lock_with_a_wrong_hash_never_becomes_a_runtime(world: World):
    folder = await use_lock(world, TINY.replace("4721", "0000").replace("ff70", "0000"))

    await world.put()
    await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.FAILED, seconds=60.0)

    assert not (folder / "runtime.json").exists()


async def test_another_lock_is_another_runtime_and_restarts_what_runs_from_it(world: World):
    before = world.object(process())

    await use_lock(world, "# another\n")

    assert world.object(process()).digest != before.digest


async def test_an_environment_that_an_earlier_release_recorded_is_seen_as_it_is(world: World):
    await world.put()
    records = Records(world.home.resolve(), INSTALLATION)
    mark = records.mark(world.root)
    record = records.find(mark, world.root, "Environment", "environment")
    facts = {name: fact for name, fact in record.facts.items() if name != "others"}
    records.write(world.root, replace(record, facts=facts))

    seen = await world.see(ENVIRONMENT)

    assert facts.keys() == {"version", "lock", "files"}
    assert (seen.health, seen.drift) == (Health.HEALTHY, ())


async def test_an_image_without_a_lock_is_refused_naming_those_there_are(world: World):
    with pytest.raises(Refused, match=r"it has airflow:0\.0\.1"):
        world.object(Environment(name="environment", component="environment", image="airflow:9.9.9"))


def test_the_shipped_lock_is_complete_hashed_and_names_no_host():
    text = shipped_locks()["3.3.2"].read_text()

    requirements = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
    assert "apache-airflow==3.3.2 \\" in requirements
    assert all(line.endswith("\\") for line in requirements)
    assert text.count("--hash=sha256:") >= len(requirements)
    assert "://" not in text


def test_a_driver_offers_the_shipped_runtimes(tmp_path: Path):
    driver = LocalDriver(home=tmp_path, installation=INSTALLATION, reveal=reveal)

    assert {"Environment", "Files", "Volume", "Process", "Task"} == driver.kinds
    assert json.dumps(sorted(one.__name__ for one in driver.units)).count("Environment") == 1


def _output(*command: Path | str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
