"""Rotating the key that seals secrets: in batches, cut off anywhere, while everybody goes on."""

from __future__ import annotations

import asyncio
import threading

import psycopg
import pytest

from model.names import Owner, SecretRef
from state.database import connect
from state.errors import Refused, SecretMissing
from state.keyring import Keyring
from state.rotation import BATCH, Rotation
from state.secrets import Secrets
from tests.state.fleet import SECRET, fleet, one, owner, rows

KEYS = "SELECT key, is_current, secrets FROM armillary.sealing ORDER BY is_current, secrets"


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=1) as sql:
        yield sql


@pytest.fixture
def admin(database_url, sql):
    with psycopg.connect(database_url, autocommit=True, options="-c role=armillary_admin") as session:
        yield session


@pytest.fixture
def path(tmp_path):
    Keyring.load_or_create(tmp_path / "keyring.json")
    return tmp_path / "keyring.json"


@pytest.fixture
def keyring(path):
    return Keyring.load_or_create(path)


@pytest.fixture
async def database(database_url):
    database = await connect(database_url, application_name="armillary test")
    yield database
    await database.close()


@pytest.fixture
def secrets(database, keyring):
    return Secrets(database, keyring)


def variable(sql, key="KEY"):
    version = one(sql, "SELECT version FROM armillary.variables WHERE deployment = 'demo/hello' AND key = %s", key)
    return SecretRef(owner(sql), f"variable/{key}", version)


async def fill(secrets, count):
    return await secrets.mint(Owner("deployment", "7"), {f"s{n}": f"value {n}" for n in range(count)})


async def reached(rotation):
    return [one async for one in rotation.go_on(actor="me")]


async def test_a_rotation_seals_everything_anew_in_batches_and_shows_how_far_it_is(
    sql, admin, database, secrets, keyring
):
    count = 2 * BATCH + 10
    versions = await fill(secrets, count)
    old = keyring.current
    assert rows(admin, KEYS) == [(old, False, count)]
    rotation = Rotation(database, keyring)

    new = await rotation.begin(actor="me")
    assert rows(admin, KEYS) == [(old, False, count), (new, True, 0)]
    steps = rotation.go_on(actor="me")
    first = await anext(steps)
    assert (first.done, first.left) == (BATCH, count - BATCH)
    assert rows(admin, KEYS) == [(new, True, BATCH), (old, False, count - BATCH)] or rows(admin, KEYS) == [
        (old, False, count - BATCH),
        (new, True, BATCH),
    ]
    last = [one async for one in steps][-1]

    assert (last.done, last.left, last.unopened) == (count, 0, 0)
    assert rows(admin, KEYS) == [(new, True, count)]
    fresh = Secrets(database, keyring)
    assert await fresh.reveal(SecretRef("deployment/7", "s3", versions["s3"])) == "value 3"
    told = rows(sql, "SELECT actor, after FROM armillary.audit WHERE reason = 'the key was rotated'")
    assert told == [("me", {"sealing_key": new})]


async def test_a_rotation_that_was_cut_off_goes_on_where_it_was(admin, database, secrets, keyring, path):
    await fill(secrets, BATCH + 5)
    keyring.rotate()  # and nobody told the store: cut off right there
    after = Keyring.load_or_create(path)
    steps = await reached(Rotation(database, after))

    assert steps[-1].done == BATCH + 5
    assert rows(admin, KEYS) == [(after.current, True, BATCH + 5)]
    assert (await reached(Rotation(database, after)))[-1].done == 0


async def test_a_running_daemon_knows_a_rotated_key_without_a_restart(sql, admin, database, secrets, path):
    admin.execute(SECRET, ("KEY", "before"))
    await secrets.seal_inbox()
    elsewhere = Rotation(database, Keyring.load_or_create(path))
    new = await elsewhere.begin(actor="me")
    admin.execute(SECRET, ("NEXT", "after"))
    await secrets.seal_inbox()  # the daemon's own ring, from before

    assert one(sql, "SELECT key_id FROM core.secrets WHERE name = 'variable/NEXT'") == new
    await reached(elsewhere)
    assert await secrets.reveal(variable(sql)) == "before"
    assert one(sql, "SELECT generation FROM armillary.deployments WHERE name = 'hello'") == 5  # 2 inserts, 2 seals


async def test_secrets_are_read_and_written_while_a_rotation_runs(admin, database, keyring, path):
    secrets = Secrets(database, Keyring.load_or_create(path))
    versions = await fill(secrets, 3 * BATCH)
    rotation = Rotation(database, keyring)
    await rotation.begin(actor="me")

    async def use():
        for number in range(60):
            name = f"s{number}"
            fresh = Secrets(database, Keyring.load_or_create(path))
            assert await fresh.reveal(SecretRef("deployment/7", name, versions[name])) == f"value {number}"
            await fresh.mint(Owner("deployment", "8"), {name: "new"})

    await asyncio.gather(use(), reached(rotation))
    await reached(rotation)
    assert rows(admin, KEYS) == [(keyring.current, True, 3 * BATCH + 60)]


async def test_what_no_key_opens_is_left_and_counted_and_its_key_is_not_forgotten(sql, database, secrets, keyring):
    await fill(secrets, 3)
    sql.execute("UPDATE core.secrets SET ciphertext = '\\x00' WHERE name = 's1'")
    rotation = Rotation(database, keyring)
    await rotation.begin(actor="me")
    last = (await reached(rotation))[-1]

    assert (last.done, last.left, last.unopened) == (2, 0, 1)
    with pytest.raises(Refused, match="still seal secrets"):
        await rotation.forget()


async def test_keys_that_seal_nothing_are_forgotten_on_demand_and_the_daemon_notices(
    database, secrets, keyring, path
):
    versions = await fill(secrets, 2)
    old = keyring.current
    elsewhere = Keyring.load_or_create(path)
    rotation = Rotation(database, elsewhere)
    await rotation.begin(actor="me")
    await reached(rotation)

    assert await rotation.forget() == {old}
    assert Keyring.load_or_create(path).key_ids == {elsewhere.current}
    assert await Secrets(database, keyring).reveal(SecretRef("deployment/7", "s0", versions["s0"])) == "value 0"


def test_of_two_who_rotate_at_once_no_key_is_lost(path):
    rings = [Keyring.load_or_create(path) for _ in range(4)]
    threads = [threading.Thread(target=ring.rotate) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(Keyring.load_or_create(path).key_ids) == 5


def test_a_key_ring_that_was_damaged_meanwhile_is_not_taken(path, keyring):
    sealed = keyring.seal("o", "n", 1, "v")
    path.write_text("{}")

    assert keyring.open("o", "n", 1, sealed) == "v"
    assert keyring.seal("o", "n", 1, "w").key_id == sealed.key_id
    with pytest.raises(SecretMissing, match="is not a key ring"):
        keyring.rotate()
