"""The broker for real: a Valkey from its locked wheel, as the product renders it, with a password."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from drivers.base import Refused
from drivers.local.act import REPLICA
from drivers.local.driver import LocalDriver
from drivers.local.runtime import read_locks, runtime_folder, shipped_locks
from model.names import Ref, SecretRef, text
from model.objects import Health, Seen
from model.plan import Cause, Create
from model.spec import ComponentSpec
from model.units import AnyUnit, Environment, Exchange, Process
from reconciler.components import render
from reconciler.components.celery import BROKER_IMAGE
from reconciler.components.component import Facts
from tests.drivers.local.world import (
    IMAGE,
    INSTALLATION,
    OWNER,
    QUICK,
    RELEASE,
    VERSION,
    World,
    environment_of,
    free_port,
    process,
    until,
)
from tests.reconciler.sketch import spec

PASSWORD = "a-password-of-nobody-else_0123456789"
REDIS = Ref("Process", f"{RELEASE}.redis")
ENVIRONMENT = Ref("Environment", RELEASE)
BOTH = Environment(name="environment", component="environment", image=IMAGE, others=(BROKER_IMAGE,))
VALKEY = f"valkey-{BROKER_IMAGE.partition(':')[2]}"


async def reveal(reference: SecretRef) -> str:
    assert reference.name == "broker-password"
    return PASSWORD


@pytest.fixture
async def broker(world: World) -> World:
    """The world, with the runtime of the broker and a port for it."""
    world.locks = {**world.locks, VALKEY: shipped_locks()[VALKEY]}
    await world.driver.close()
    world.driver = LocalDriver(
        home=world.home, installation=INSTALLATION, reveal=reveal, locks=world.locks, pace=QUICK
    )
    await world.driver.open()
    world.ports["redis", "broker"] = free_port()
    return world


def parts(**settings: int) -> tuple[AnyUnit, ...]:
    """The units of the component redis."""
    asked = replace(
        spec(),
        executor="CeleryExecutor",
        components={
            **spec().components,
            "redis": ComponentSpec(settings=settings),
            "worker": ComponentSpec(),
            "flower": ComponentSpec(),
        },
    )
    return tuple(one for one in render(asked, Facts(owner=OWNER)) if one.component == "redis")


async def put(world: World, **settings: int) -> None:
    """Create the environment with both runtimes, then the broker once its own is built."""
    await create(world, BOTH)
    await world.until_seen(ENVIRONMENT, lambda seen: seen.health is Health.HEALTHY, seconds=120.0)
    for unit in parts(**settings):
        await create(world, unit)


async def create(world: World, unit: AnyUnit) -> None:
    one = world.object(unit)
    await world.driver.apply(OWNER, Create(object=one, cause=Cause.GENERATION, why="asked"))


async def healthy(world: World) -> Seen:
    return await world.until_seen(REDIS, lambda seen: seen.health is Health.HEALTHY, seconds=30.0)


async def said(world: World, *lines: str) -> list[str]:
    """What the broker answers, line by line."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.ports["redis", "broker"])
    try:
        answers = []
        for line in lines:
            writer.write(f"{line}\r\n".encode())
            answer = (await asyncio.wait_for(reader.readline(), 5.0)).decode().strip()
            if answer.startswith("$") and answer != "$-1":
                answer = (await asyncio.wait_for(reader.readline(), 5.0)).decode().strip()
            answers.append(answer)
        return answers
    finally:
        writer.close()


async def test_a_broker_is_built_from_its_lock_and_answers_only_who_knows_the_password(broker: World):
    await put(broker)
    await healthy(broker)

    assert (await said(broker, "PING"))[0].startswith("-NOAUTH")
    assert await said(broker, f"AUTH {PASSWORD}", "PING") == ["+OK", "+PONG"]
    runtime = broker.home / "runtimes" / runtime_folder(read_locks(broker.locks)[VALKEY])
    assert os.access(runtime / "bin" / "valkey-server", os.X_OK)


async def test_the_password_is_in_one_file_of_mode_600_and_in_no_command(broker: World):
    await put(broker)
    await healthy(broker)
    pid = broker.state("redis").child_pid
    configuration = broker.root / "credentials" / "broker" / "valkey.conf"

    assert holding(broker.root) == [configuration]
    assert configuration.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in " ".join(psutil.Process(pid).cmdline())
    assert PASSWORD.encode() not in b"".join(environment_of(pid))
    listening = {
        (one.laddr.ip, one.laddr.port)
        for one in psutil.Process(pid).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", broker.ports["redis", "broker"])}


def holding(folder: Path) -> list[Path]:
    """The files in which the password stands."""
    return [path for path in folder.rglob("*") if path.is_file() and PASSWORD in path.read_text("latin-1")]


@pytest.mark.parametrize(("persistence", "left"), [(1, "waits"), (0, "$-1")])
async def test_what_waits_survives_a_kill_or_not_as_asked(broker: World, persistence: int, left: str):
    await put(broker, persistence=persistence)
    await healthy(broker)
    await said(broker, f"AUTH {PASSWORD}", "SET task waits", "WAITAOF 1 0 2000")
    first = broker.state("redis").child_pid

    os.kill(first, signal.SIGKILL)
    await until(lambda: broker.state("redis").child_pid not in (None, first))
    await healthy(broker)

    assert (await said(broker, f"AUTH {PASSWORD}", "GET task"))[-1] == left


async def test_a_broker_that_hangs_is_not_called_healthy(broker: World):
    await put(broker)
    await healthy(broker)
    pid = broker.state("redis").child_pid

    os.kill(pid, signal.SIGSTOP)
    try:
        seen = await broker.until_seen(REDIS, lambda seen: seen.health is not Health.HEALTHY, seconds=30.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    await healthy(broker)

    assert "does not answer in time" in seen.detail


async def test_a_stranger_who_answers_otherwise_is_not_taken_for_the_broker(world: World):
    world.ports["scheduler", "http"] = port = free_port()
    script = (
        "import http.server, sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), None).serve_forever()"
    )
    probe = Exchange(unit="scheduler", port="http", say="PING\r\n", hear="-NOAUTH")
    ref = await world.put(process("scheduler", script, str(port), ports={"http": 1}, probe=probe))

    seen = await world.until_seen(ref, lambda seen: "answers" in seen.detail, seconds=30.0)

    assert seen.health is not Health.HEALTHY


async def test_a_runtime_that_is_gone_beside_airflow_s_own_is_drift_and_is_built_again(broker: World):
    await put(broker)
    runtime = broker.home / "runtimes" / runtime_folder(read_locks(broker.locks)[VALKEY])
    (runtime / "runtime.json").unlink()

    what = await broker.drifted(ENVIRONMENT)
    await create(broker, BOTH)
    await broker.until_seen(
        ENVIRONMENT, lambda seen: seen.health is Health.HEALTHY and not seen.drift, seconds=120.0
    )

    assert what.startswith("the runtime of Valkey 9.1.2 is not in ")


async def test_each_replica_knows_its_own_name(world: World):
    script = f"import os, time; print(os.environ['{REPLICA}'], flush=True); time.sleep(60)"
    unit: Process = replace(process("worker", script), replicas=3, env={"WORD": text("x")})
    await world.put(unit)

    for number in range(3):
        await until(lambda number=number: world.log("worker", number) == f"worker-{number}\n")


def test_every_image_that_there_is_a_lock_for_is_found_by_its_name():
    images = {lock.image for lock in read_locks(shipped_locks()).values()}

    assert images == {"airflow:2.11.2", "airflow:3.3.2", BROKER_IMAGE}


async def test_a_broker_of_another_version_is_refused_naming_what_there_is(broker: World):
    with pytest.raises(Refused, match=rf"it has airflow:{VERSION}, {BROKER_IMAGE}"):
        broker.object(replace(parts()[-1], image="valkey:1.0"))
