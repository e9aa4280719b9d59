"""Functions for people: the right actor, words that say what is, and errors that say what to do."""

from __future__ import annotations

import psycopg
import pytest

from tests.state.fleet import INSERT, PLAIN, SEAL, SECRET, condition, fleet, one, owner, record, rows, thing, write

CANARY = "canary-2b7e"
PLAN = "SELECT unit, state, object, cause, why FROM armillary.plan_of('demo/hello')"


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=1) as sql:
        sql.execute("SELECT core.acquire_lease('cluster/local', 'me', '1 minute')")
        yield sql


@pytest.fixture
def alice(database_url, sql):
    """An administrator with a login of her own."""
    name = f"alice_{one(sql, 'SELECT pg_backend_pid()')}"
    sql.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'alice' IN ROLE armillary_admin".encode())
    parts = psycopg.conninfo.conninfo_to_dict(database_url) | {"user": name, "password": "alice"}
    with psycopg.connect(psycopg.conninfo.make_conninfo(**parts), autocommit=True) as session:
        yield session
    sql.execute(f"DROP ROLE {name}".encode())


CALLS = {
    "pause": "SELECT armillary.pause({}, now() + interval '1 h', 'maintenance')",
    "resume": "SELECT armillary.resume({})",
    "restart": "SELECT armillary.restart({})",
    "hibernate": "SELECT armillary.hibernate({})",
    "wake": "SELECT armillary.wake({})",
    "rollback": "SELECT armillary.rollback({}, 1)",
    "undelete": "SELECT armillary.undelete({})",
    "approve": "SELECT armillary.approve({}, 'data')",
    "why": "SELECT * FROM armillary.why({})",
    "plan_of": "SELECT * FROM armillary.plan_of({})",
    "diff": "SELECT * FROM armillary.diff({}, 1)",
    "wait": "SELECT armillary.wait({})",
}
CHANGING = ("pause", "restart", "hibernate")
READING = {"armillary_viewer": ("why", "plan_of"), "armillary_auditor": ("why", "plan_of", "diff")}


@pytest.mark.parametrize("name", CALLS)
def test_an_unknown_name_is_told_with_what_may_have_been_meant(alice, name):
    with pytest.raises(psycopg.Error) as caught:
        alice.execute(CALLS[name].format("'demo/helo'").encode())

    diag = caught.value.diag
    assert (diag.sqlstate, diag.message_primary) == ("AR001", "There is no deployment 'demo/helo'.")
    assert diag.message_hint == (
        "Write workspace/name. Did you mean demo/hello? There are: demo/hello, demo/other0"
    )


def test_what_is_like_nothing_is_not_guessed_at(alice):
    with pytest.raises(psycopg.Error) as caught:
        alice.execute("SELECT armillary.restart('ads/prod')")

    assert "Did you mean" not in caught.value.diag.message_hint


@pytest.mark.parametrize("name", CHANGING)
def test_whoever_calls_is_in_the_audit_and_nothing_is_claimed(alice, sql, name):
    alice.execute(CALLS[name].format("'demo/hello'").encode())

    (who,) = rows(
        sql, "SELECT session_role, actor, actor_is_claimed FROM armillary.audit ORDER BY id DESC LIMIT 1"
    )
    assert who == (alice.info.user, alice.info.user, False)
    assert one(sql, "SELECT actor FROM armillary.history WHERE revision = 2") == alice.info.user


@pytest.mark.parametrize("role", READING)
@pytest.mark.parametrize("name", [one for one in CALLS if one != "wait"])
def test_who_only_reads_may_ask_and_not_act(sql, database_url, role, name):
    call = CALLS[name].format("'demo/hello'").encode()
    with psycopg.connect(database_url, autocommit=True, options=f"-c role={role}") as reader:
        if name in READING[role]:
            reader.execute(call)
            return
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(call)


@pytest.mark.parametrize(
    ("call", "rule", "message", "hint"),
    [
        (
            "pause('demo/hello', now() - interval '1 h', 'x')",
            "a_pause_ends_in_the_future",
            "which is past",
            "1 hour",
        ),
        ("pause('demo/hello', NULL, 'x')", "a_pause_ends_in_the_future", "none lasts for ever", "1 hour"),
        (
            "pause('demo/hello', now() + interval '1 h', '')",
            "a_pause_has_a_reason",
            "needs a reason",
            "maintenance",
        ),
        ("pause('demo/hello', 'infinity', 'x')", "times_are_of_this_millennium", "infinity", "3000"),
        ("rollback('demo/hello', 9)", "exists", "demo/hello has no revision 9.", "Its newest revisions: 1"),
        ("rollback('demo/hello', NULL)", "exists", "no revision NULL", "Its newest revisions: 1"),
        ("diff('demo/hello', 1, 9)", "exists", "demo/hello has no revision 9.", "Its newest revisions: 1"),
        ("approve('demo/hello', 'everything')", "approvals_are_known", "'everything'", "deletes"),
    ],
)
def test_what_cannot_be_is_told_with_what_to_do(alice, sql, call, rule, message, hint):  # noqa: PLR0917 - its table
    before = rows(sql, "SELECT count(*) FROM armillary.audit")
    with pytest.raises(psycopg.Error) as caught:
        alice.execute(f"SELECT armillary.{call}".encode())

    diag = caught.value.diag
    assert diag.constraint_name == rule
    assert message in diag.message_primary
    assert hint in diag.message_hint
    assert rows(sql, "SELECT count(*) FROM armillary.audit") == before


def test_what_has_no_effect_yet_says_so_and_what_to_run(alice):
    def call(name):
        return one(alice, CALLS[name].format("'demo/hello'"))

    assert call("wake") == "was awake already"
    assert call("hibernate") == "hibernated"
    assert call("hibernate") == "was hibernated already"
    assert call("restart") == (
        "restarting, but it is hibernated and nothing runs: SELECT armillary.wake('demo/hello')"
    )
    call("pause")
    assert "only when its pause ends" in call("wake")
    call("resume")
    alice.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello'")
    assert "it is being deleted: SELECT armillary.undelete('demo/hello')" in call("restart")
    assert call("undelete") == "undeleted"


def test_a_diff_names_each_field_that_differs_with_before_and_after(alice):
    alice.execute(PLAIN, ("GREETING", "hello"))
    alice.execute(
        "UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer' AND deployment = 'demo/hello'"
    )
    alice.execute(
        "UPDATE armillary.components SET settings = '{\"parallelism\": 8}'"
        " WHERE component = 'scheduler' AND deployment = 'demo/hello'"
    )

    assert rows(alice, "SELECT * FROM armillary.diff('demo/hello', 1, 4)") == [
        ("/components/scheduler/settings/parallelism", None, "8"),
        ("/components/triggerer/replicas", "1", "0"),
        ("/variables/GREETING/components", None, "[]"),
        ("/variables/GREETING/value", None, "hello"),
    ]
    assert rows(alice, "SELECT * FROM armillary.diff('demo/hello', 3)") == [
        ("/components/scheduler/settings/parallelism", None, "8")
    ]
    assert rows(alice, "SELECT * FROM armillary.diff('demo/hello', 3, 2)") == [
        ("/components/triggerer/replicas", "0", "1")
    ]
    assert rows(alice, "SELECT * FROM armillary.diff('demo/hello', 4, 4)") == []


def test_a_diff_shows_of_a_secret_its_version_also_when_it_was_plain_once(alice, sql):
    alice.execute(PLAIN, ("KEY", CANARY))
    alice.execute("UPDATE armillary.variables SET secret = true, value = 'x' WHERE key = 'KEY'")
    sql.execute(SEAL)
    alice.execute(SECRET, ("OTHER", CANARY))
    sql.execute(SEAL)
    shown = rows(alice, "SELECT * FROM armillary.diff('demo/hello', 1)")
    shown += rows(alice, "SELECT * FROM armillary.diff('demo/hello', 1, 2)")
    shown += rows(alice, "SELECT * FROM armillary.diff('demo/hello', 2, 3)")

    version = one(sql, "SELECT version FROM armillary.variables WHERE key = 'OTHER'")
    assert ("/variables/OTHER/version", None, str(version)) in shown
    assert ("/variables/KEY/value", None, "(sealed)") in shown
    assert not [row for row in shown if CANARY in str(row)]


def test_a_deployment_that_nobody_looked_at_has_that_as_its_plan(sql, alice):
    assert rows(alice, PLAN) == [("", "unseen", "", None, "Generation 1 was not looked at yet.")]
    sql.execute("UPDATE core.leases SET expires_at = now()")
    assert [row[1] for row in rows(alice, PLAN)] == ["unled", "unseen"]


def test_a_plan_has_what_waits_what_was_begun_and_their_causes(sql, alice):
    units = [
        {"unit": "scheduler", "component": "scheduler", "state": "waiting", "detail": "migrate is not done"},
        {"unit": "api-server", "component": "api-server", "state": "applying", "detail": "it differs"},
        {"unit": "database", "component": "database", "state": "ready", "detail": ""},
    ]
    event = {"reason": "Created", "message": "x", "cause": "drift", "object": "Process/api"}
    things = [thing("api", unit="api-server", state="intended"), thing("old", unit="triggerer", state="deleting")]
    status = {"units": units, "conditions": [condition("Synced", "False", "Converging")]}
    write(sql, record(owner(sql), status=status, objects=things, events=[event]))

    assert rows(alice, PLAN) == [
        ("scheduler", "waiting", "", "generation", "migrate is not done"),
        ("api-server", "applying", "", "drift", "it differs"),
        ("api-server", "being made", "Process/api", "drift", "Its making was begun and was not seen to end."),
        (
            "triggerer",
            "being removed",
            "Process/old",
            "generation",
            "Its removal was begun and was not seen to end.",
        ),
    ]


def test_what_is_as_asked_has_an_empty_plan(sql, alice):
    write(sql, record(owner(sql), status={"converged_generation": 1}))

    assert rows(alice, PLAN) == []


def test_a_pause_and_a_deletion_are_in_the_plan(sql, alice):
    alice.execute("SELECT armillary.pause('demo/hello', now() + interval '1 h', 'maintenance')")
    alice.execute("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello'")
    said = [(state, why) for _, state, _, _, why in rows(alice, PLAN)]

    assert [state for state, _ in said] == ["paused", "unseen", "later", "later"]
    assert said[0][1].endswith(": maintenance")
    assert said[2][1].startswith("Processes, configuration and files are removed after")
    assert said[3][1].startswith("Databases and logs are removed after")


def test_a_secret_that_waits_is_in_the_plan_without_its_value(alice):
    alice.execute(SECRET, ("KEY", CANARY))
    said = rows(alice, PLAN)

    assert ("variable/KEY", "waiting") in [row[:2] for row in said]
    assert CANARY not in str(said)


def test_ten_thousand_names_are_compared_in_no_time(sql):
    sql.execute("SET statement_timeout = '2 s'")
    near = one(
        sql,
        "SELECT core.nearest('team7/prod-0077', ARRAY("
        " SELECT format('team7/prod-%s', n) FROM generate_series(1, 10000) n))",
    )

    assert near is not None
    assert sql.execute(INSERT, ("demo", "last")).rowcount == 1


def test_what_keeps_all_of_a_deployment_waits_too(sql, alice):
    conditions = [condition("Synced", "Unknown", "Held") | {"message": "The database was restored."}]
    write(sql, record(owner(sql), status={"conditions": conditions}))

    assert rows(alice, "SELECT deployment, unit, state, detail FROM armillary.waiting") == [
        ("demo/hello", "", "held", "The database was restored.")
    ]
