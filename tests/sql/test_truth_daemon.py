"""A daemon beside a restore or a superuser: it notices, and removes nothing that nobody asked to remove."""

from __future__ import annotations

import asyncio
import subprocess

import psycopg

from drivers.simulation.world import World
from state import dumps
from tests.sql.beside import INSTALLATION, LOOKS, daemon_on, synced, until
from tests.state.fleet import INSERT, generation, one, owner, rows

PG_RESTORE_FITS = 170000
REPLICA = "SET session_replication_role = replica"


def postgresql(name, url, *arguments):
    command = [str(dumps.program(name)), *arguments]
    subprocess.run(command, env=dumps.environment(url), check=True, capture_output=True)


async def test_a_restore_without_triggers_is_counted_and_takes_effect(database_url, tmp_path):
    world, dump = World(), str(tmp_path / "dump")
    async with daemon_on(database_url, world, tmp_path / "keyring.json"):
        with psycopg.connect(database_url, autocommit=True) as sql:
            sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
            sql.execute(INSERT, ("demo", "hello"))
            await synced(sql, "demo/hello")
            await asyncio.to_thread(
                postgresql,
                "pg_dump",
                database_url,
                "-Fc",
                "--data-only",
                "--table=core.components",
                f"--file={dump}",
            )
            sql.execute("UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'")
            stopped = "SELECT state FROM armillary.units WHERE unit = 'triggerer'"
            await until(sql, stopped, is_true=lambda found: found == [("stopped",)])
            before = generation(sql)

            with psycopg.connect(database_url, autocommit=True) as superuser:
                superuser.execute(REPLICA)
                superuser.execute("DELETE FROM core.components")
            await asyncio.to_thread(restored, database_url, dump)

            counted = "SELECT generation FROM armillary.deployments"
            await until(sql, counted, is_true=lambda found: found == [(before + 1,)])
            await until(sql, stopped, is_true=lambda found: found == [("ready",)])
            told = rows(sql, "SELECT reason FROM armillary.events WHERE reason = 'ChangedBehindTriggers'")
            assert told == [("ChangedBehindTriggers",)]


def restored(url, dump):
    """By pg_restore; where the wheel's is too new for the server, by what it does there."""
    with psycopg.connect(url, autocommit=True) as superuser:
        if superuser.info.server_version >= PG_RESTORE_FITS:
            named = f"--dbname={superuser.info.dbname}"
            postgresql("pg_restore", url, "--data-only", "--disable-triggers", named, dump)
            return
        superuser.execute(REPLICA)
        superuser.execute(
            "INSERT INTO core.components (deployment_id, component)"
            " SELECT d.id, c.component FROM core.deployments d JOIN core.component_catalogue c USING (executor)"
        )


async def test_what_would_remove_things_is_held_and_released_by_the_documented_statement(database_url, tmp_path):
    world = World()
    async with daemon_on(database_url, world, tmp_path / "keyring.json"):
        with psycopg.connect(database_url, autocommit=True) as sql:
            sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('demo')")
            sql.execute(INSERT, ("demo", "hello"))
            await synced(sql, "demo/hello")
            things = {thing.ref: thing.uid for thing in world.things()}
            written = len(world.writes)

            with psycopg.connect(database_url, autocommit=True) as superuser:
                superuser.execute(REPLICA)
                superuser.execute(
                    "UPDATE core.deployments SET deletion_requested_at = now(), delete_after = now(),"
                    " retain_until = now()"
                )
            await until(sql, LOOKS, "demo/hello", is_true=lambda found: found == [("Unknown",)])
            said = "\n".join(line for (line,) in rows(sql, "SELECT armillary.why('demo/hello')"))
            assert "its deletion was asked for" in said
            assert "SELECT armillary.accept('demo/hello')" in said
            await asyncio.sleep(6.0)  # a whole resync, in which nothing is what is waited for
            assert world.writes[written:] == []
            assert {thing.ref: thing.uid for thing in world.things()} == things

            whom = owner(sql)
            sql.execute("SELECT armillary.accept('demo/hello')")
            await until(sql, "SELECT name FROM core.deployments", is_true=lambda found: found == [])
            assert whom not in world.owners(INSTALLATION)
            assert one(sql, "SELECT count(*) FROM core.deployments") == 0
