"""The disaster drill: a backup restored elsewhere, under a whole daemon beside a world that went on.

The world is the simulation's, which counts every write and every start; server, store, key ring and daemon are
real.
"""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from drivers.simulation.world import World
from model.names import Owner
from state import backup
from tests.sql.beside import INSTALLATION, LOOKS, SECONDS, daemon_on, synced, until
from tests.state.fleet import INSERT, PLAIN, one, rows

PASSPHRASE = "correct horse battery"


@pytest.mark.parametrize("remembers", [True, False], ids=["the cluster remembers", "nothing remembers"])
async def test_a_restored_installation_only_looks_until_the_takeover_and_then_restarts_nothing(
    database_url, make_database, tmp_path, remembers
):
    world, ring = World(), tmp_path / "keyring.json"
    async with daemon_on(database_url, world, ring):
        with psycopg.connect(database_url, autocommit=True) as sql:
            sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
            sql.execute(INSERT, ("demo", "hello"))
            sql.execute(PLAIN, ("GREETING", "good morning"))
            await synced(sql, "demo/hello")
            await asyncio.to_thread(
                backup.write,
                database_url,
                tmp_path / "b",
                PASSPHRASE,
                keyring=ring,
                installation=tmp_path / "none",
            )
            sql.execute(INSERT, ("demo", "late"))
            await synced(sql, "demo/late")
            late = Owner.parse(one(sql, "SELECT owner FROM core.deployments WHERE name = 'late'"))
            await asyncio.sleep(4.5)  # the stamp moves on every 4 seconds
    if not remembers:
        world.stamp = None
    starts, uids = dict(world.starts), {thing.ref: thing.uid for thing in world.things()}
    assert starts

    with make_database() as elsewhere:
        with backup.opened(tmp_path / "b", PASSPHRASE) as read:
            restored_ring = tmp_path / "elsewhere.json"
            backup.put_keyring(restored_ring, read.keyring)
            backup.restore(elsewhere, read, replace=False)
        written = len(world.writes)
        async with daemon_on(elsewhere, world, restored_ring):
            with psycopg.connect(elsewhere, autocommit=True) as sql:
                await until(sql, LOOKS, "demo/hello", is_true=lambda found: found == [("Unknown",)])
                said = "\n".join(line for (line,) in rows(sql, "SELECT armillary.why('demo/hello')"))
                assert "SELECT armillary.takeover" in said
                sql.execute("UPDATE armillary.variables SET value = 'good night'")
                await asyncio.sleep(3.0)  # nothing is what is waited for
                assert world.writes[written:] == []

                sql.execute("UPDATE armillary.variables SET value = 'good morning'")
                sql.execute("SELECT armillary.takeover('a drill')")
                await synced(sql, "demo/hello")

                assert dict(world.starts) == starts
                assert {thing.ref: thing.uid for thing in world.things()} == uids
                assert str(late) in world.owners(INSTALLATION)

                sql.execute("UPDATE armillary.variables SET value = 'good evening'")
                async with asyncio.timeout(SECONDS):
                    while dict(world.starts) == starts:  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
                await synced(sql, "demo/hello")
