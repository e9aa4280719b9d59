"""What people agree to, and what is kept so that a restored database is noticed: approvals, epochs, changes."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.state.fleet import PLAIN, Sql, fleet, generation, one, owner, record, rows, thing, write

GONE = "deployment/99"


@pytest.fixture
def sql(database_url):
    with fleet(database_url) as sql:
        yield sql


def approve(sql: Sql, what: str, target: str = "demo/hello") -> str:
    return str(one(sql, "SELECT armillary.approve(%s, %s, 'looked at it')", target, what))


def load(sql: Sql, of: str) -> Any:
    return one(sql, "SELECT core.load(%s)", of)


def due(sql: Sql) -> list[str]:
    return [name for (name,) in rows(sql, "SELECT owner FROM core.due()")]


def lease(sql: Sql, holder: str = "a") -> Any:
    return one(sql, "SELECT core.acquire_lease('cluster/local', %s, interval '15 s')", holder)


def mint(sql: Sql, name: str) -> int:
    return int(one(sql, "SELECT core.mint(%s, %s, 'k1', '\\x00')", owner(sql), name))


def change(sql: Sql) -> tuple[int, str]:
    number, token = one(sql, "SELECT core.newest_change()")
    return number, token


def knows(sql: Sql, number: int, token: str) -> bool:
    return bool(one(sql, "SELECT core.knows(%s, %s)", number, token))


def milestone(key: str, *begun: str) -> dict[str, Any]:
    return {"name": "migrate", "key": key, "begun": list(begun)}


# Approvals.


@pytest.mark.parametrize("what", ["deletes", "data", "rollout"])
def test_an_approval_is_loaded_until_it_expires(sql, what):
    approve(sql, what)
    assert load(sql, owner(sql))["approvals"] == [what]
    assert rows(sql, "SELECT deployment, what FROM armillary.approvals") == [("demo/hello", what)]

    sql.execute("UPDATE core.approvals SET expires_at = now()")

    assert load(sql, owner(sql))["approvals"] == []
    assert rows(sql, "SELECT deployment FROM armillary.approvals") == []


def test_an_approval_lasts_an_hour_and_another_begins_it_anew(sql):
    approve(sql, "data")
    sql.execute("UPDATE core.approvals SET expires_at = now() - interval '1 day'")
    approve(sql, "data")

    lasts = "SELECT expires_at - now() BETWEEN interval '59 min' AND interval '60 min' FROM armillary.approvals"
    assert rows(sql, lasts) == [(True,)]


def test_an_approval_makes_its_owner_due(sql):
    write(sql, record(owner(sql)))
    assert due(sql) == []

    approve(sql, "deletes")

    assert due(sql) == [owner(sql)]


def test_what_nobody_can_approve_is_refused_with_what_can_be(sql):
    with pytest.raises(psycopg.Error) as raised:
        approve(sql, "everything")

    assert raised.value.diag.constraint_name == "approvals_are_known"
    assert raised.value.diag.message_hint is not None
    for word in ("deletes", "data", "rollout"):
        assert word in raised.value.diag.message_hint
    assert rows(sql, "SELECT what FROM core.approvals") == []


def test_an_orphan_is_approved_by_its_owner(sql):
    write(sql, record(GONE))
    approve(sql, "deletes", GONE)

    assert load(sql, GONE)["approvals"] == ["deletes"]
    assert rows(sql, "SELECT deployment, what FROM armillary.approvals") == [(GONE, "deletes")]


def test_an_owner_of_which_nothing_is_left_cannot_be_approved(sql):
    with pytest.raises(psycopg.Error):
        approve(sql, "deletes", GONE)

    assert rows(sql, "SELECT what FROM core.approvals") == []


def test_an_approval_is_audited(sql):
    approve(sql, "data")

    asked = "SELECT operation, after->>'what', after->>'reason' FROM core.audit WHERE relation = 'approvals'"
    assert rows(sql, asked) == [("INSERT", "data", "looked at it")]


# A restored database: accept, takeover, epochs.


def test_a_generation_that_went_back_is_looked_at_again_once_it_is_accepted(sql):
    write(sql, record(owner(sql), status={"observed_generation": 7}))
    assert write(sql, record(owner(sql), status={"observed_generation": 1})) != [None]

    told = one(sql, "SELECT armillary.accept('demo/hello')")

    assert told == "generation 1 of demo/hello is accepted"
    assert due(sql) == [owner(sql)]
    assert write(sql, record(owner(sql), status={"observed_generation": 1})) == [None]


def test_accepting_what_did_not_go_back_changes_nothing(sql):
    write(sql, record(owner(sql)))

    assert "did not go back" in one(sql, "SELECT armillary.accept('demo/hello')")
    assert rows(sql, "SELECT observed_generation FROM core.status") == [(generation(sql),)]


def test_a_takeover_fences_whoever_held_the_lease(sql):
    old = lease(sql)
    sql.execute("SELECT armillary.takeover('restored from the backup of Monday')")
    new = lease(sql, "b")

    assert new > old + 1_000_000
    assert write(sql, record(owner(sql), epoch=old)) != [None]
    assert write(sql, record(owner(sql), epoch=new)) == [None]
    assert not one(sql, "SELECT core.renew_lease('cluster/local', 'a', %s, interval '15 s')", old)


@pytest.mark.parametrize("reason", ["", None])
def test_a_takeover_says_why(sql, reason):
    before = lease(sql)

    with pytest.raises(psycopg.Error, match="needs a reason"):
        sql.execute("SELECT armillary.takeover(%s)", (reason,))
    assert rows(sql, "SELECT epoch FROM core.leases") == [(before,)]


def test_a_takeover_is_audited_with_its_reason(sql):
    sql.execute("SELECT armillary.takeover('the backup of Monday')")

    assert rows(sql, "SELECT reason FROM core.audit WHERE key = 'takeover'") == [("the backup of Monday",)]


def test_a_write_of_a_higher_epoch_than_the_leases_is_fenced(sql):
    epoch = lease(sql)

    assert write(sql, record(owner(sql), epoch=epoch + 1)) == [
        f"the lease cluster/local is at epoch {epoch}, this write at {epoch + 1}"
    ]
    assert rows(sql, "SELECT owner FROM core.status") == []


def test_a_lease_goes_beyond_every_epoch_that_was_written_under(sql):
    write(sql, record(owner(sql), epoch=40))

    assert lease(sql) == 41


def test_a_lease_of_an_old_row_goes_beyond_every_epoch_that_was_written_under(sql):
    lease(sql)
    sql.execute("UPDATE core.leases SET epoch = 40")
    write(sql, record(owner(sql), epoch=40))
    sql.execute("UPDATE core.leases SET epoch = 2")

    assert lease(sql) == 41


# What a restored database is told by.


def test_minting_is_a_change_that_the_database_knows(sql):
    before = change(sql)
    mint(sql, "password")
    number, token = change(sql)

    assert number > before[0]
    assert knows(sql, number, token)
    assert knows(sql, *before)
    assert not knows(sql, number, "of another past")
    assert not knows(sql, number + 1, token)


def test_minting_again_is_no_change(sql):
    mint(sql, "password")
    before = change(sql)
    mint(sql, "password")

    assert change(sql) == before


def test_a_change_of_another_past_has_the_same_number_and_another_token(sql):
    sql.execute(PLAIN, ("A", "1"))
    number, token = change(sql)
    sql.execute("SET session_replication_role = replica")  # the audit is append-only, but for a restore
    sql.execute("UPDATE core.audit SET at = at + interval '1 ms' WHERE id = %s", (number,))

    assert change(sql)[0] == number
    assert not knows(sql, number, token)


# Milestones and owners.


def test_a_milestones_newest_key_replaces_the_older_one(sql):
    write(sql, record(owner(sql), milestones=[milestone("schema/3.3.2")]))
    write(sql, record(owner(sql), milestones=[milestone("schema/3.4.0")]))

    assert load(sql, owner(sql))["milestones"] == [milestone("schema/3.4.0")]


def test_what_a_task_has_begun_is_kept_beside_what_it_achieved(sql):
    write(sql, record(owner(sql), milestones=[milestone("schema/3.3.2")]))
    begun = '[{"name": "migrate", "key": "schema/3.3.2", "begun": ["schema/3.4.0"]}]'
    one(sql, "SELECT core.intend(%s, 1, '[]', %s)", owner(sql), begun)
    assert load(sql, owner(sql))["milestones"] == [milestone("schema/3.3.2", "schema/3.4.0")]

    write(sql, record(owner(sql), milestones=[milestone("schema/3.4.0")]))

    assert load(sql, owner(sql))["milestones"] == [milestone("schema/3.4.0")]


def test_an_owner_of_which_only_a_status_is_left_is_listed(sql):
    write(sql, record(GONE, objects=[], milestones=[]))

    listed = rows(sql, "SELECT owner, cluster, workspace FROM core.owners()")
    assert sorted(listed) == sorted([(owner(sql), "local", "demo"), (GONE, "", "")])


def test_an_owner_that_holds_something_and_has_a_status_is_listed_once(sql):
    write(sql, record(GONE, objects=[thing(), thing("y")]))

    assert rows(sql, "SELECT count(*) FROM core.owners() WHERE owner = %s", GONE) == [(1,)]
