"""Versions of sealed variables: they rise, and none comes again for another value, not even after a restore."""

from __future__ import annotations

import psycopg
import pytest

from state.database import connect
from state.keyring import Keyring
from state.secrets import Secrets
from tests.state.fleet import SECRET, Sql, fleet, one

# the version of a variable that was set so many times
_AFTER = """
    WITH RECURSIVE versions AS (
        SELECT 0 AS version, 0 AS times
        UNION ALL SELECT core.next_version(version), times + 1 FROM versions WHERE times < %s)
    SELECT max(version) FROM versions"""
VERSION = "SELECT version FROM armillary.variables"


async def _set(url: str, keyring: Keyring, sql: Sql, *values: str) -> list[int]:
    """The versions that the values are sealed as, one after the other."""
    database = await connect(url, application_name="armillary test")
    versions = []
    for value in values:
        sql.execute("UPDATE armillary.variables SET value = %s", (value,))
        await Secrets(database, keyring).seal_inbox()
        versions.append(one(sql, VERSION))
    await database.close()
    return versions


@pytest.mark.parametrize("times", [1, 3])
async def test_a_value_set_after_a_restore_shares_no_version_with_one_that_was_lost(
    database_url, make_database, times
):
    keyring = Keyring.in_memory()
    with fleet(database_url) as sql:
        sql.execute(SECRET, ("KEY", "known to the dump"))
        (known,) = await _set(database_url, keyring, sql, "known, too")
    # a copy of the database is what a dump of this moment brings back
    with make_database(database_url.rpartition("/")[2]) as restored:
        with psycopg.connect(database_url, autocommit=True) as sql:
            lost = await _set(database_url, keyring, sql, *(f"lost {number}" for number in range(times)))
        with psycopg.connect(restored, autocommit=True) as sql:
            new = await _set(restored, keyring, sql, *(f"new {number}" for number in range(times)))

    assert known < min(lost + new)
    assert (sorted(lost), sorted(new)) == (lost, new)
    assert not set(lost) & set(new)


def test_versions_are_drawn_rise_and_do_not_run_out(database_url):
    with fleet(database_url) as sql:
        drawn = [one(sql, "SELECT core.next_version(7)") for _ in range(50)]
        last = one(sql, "SELECT core.next_version(2147483646)")
        after_many = one(sql, _AFTER, 50_000)

    assert 7 < min(drawn) <= max(drawn) <= 2**31 // 4096 + 8
    assert len(set(drawn)) > 45
    assert last == 2**31 - 1
    assert after_many < 2**31 - 1_000_000
