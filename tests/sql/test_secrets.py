"""Secrets by SQL: sealed at once and leaving nothing behind, or sealed before they are written."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from model.names import Owner, SecretRef
from state import sealed_text
from state.database import connect
from state.keyring import Keyring
from state.secrets import Secrets
from tests.state.fleet import PLAIN, SECRET, fleet, one, owner, rows

SIZE = "SELECT pg_relation_size('core.secret_inbox')"


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


def version_of(sql, key="KEY"):
    return one(sql, "SELECT version FROM armillary.variables WHERE deployment = 'demo/hello' AND key = %s", key)


def variable(sql, key="KEY"):
    return SecretRef(owner(sql), f"variable/{key}", version_of(sql, key))


# --- the inbox --------------------------------------------------------------------------------------------


async def test_an_inbox_that_was_sealed_has_a_new_and_empty_file(sql, admin, secrets):
    admin.execute(SECRET, ("KEY", "x" * 100_000))
    before = one(sql, "SELECT pg_relation_filepath('core.secret_inbox')")
    assert one(sql, SIZE) > 0

    await secrets.seal_inbox()

    assert one(sql, SIZE) == 0
    assert one(sql, "SELECT pg_relation_filepath('core.secret_inbox')") != before
    assert await secrets.reveal(variable(sql)) == "x" * 100_000


async def test_what_was_written_and_undone_is_cleaned_away_at_the_next_look(sql, admin, secrets):
    with admin.transaction(force_rollback=True):
        admin.execute(SECRET, ("KEY", "x"))
    assert one(sql, SIZE) > 0

    assert await secrets.seal_inbox() == frozenset()
    assert one(sql, SIZE) == 0


async def test_who_is_writing_a_secret_is_not_waited_for_nor_held_up(sql, admin, database_url, secrets):
    admin.execute(SECRET, ("KEY", "a"))
    with psycopg.connect(database_url) as writing:
        writing.execute(
            "INSERT INTO armillary.variables (deployment, key, value, secret)"
            " VALUES ('demo/other0', 'B', 'b', true)"
        )
        await asyncio.wait_for(secrets.seal_inbox(), 3)
        assert version_of(sql) > 0
        assert one(sql, SIZE) > 0
        writing.commit()
    await secrets.seal_inbox()

    assert one(sql, "SELECT version FROM armillary.variables WHERE key = 'B'") > 0
    assert one(sql, SIZE) == 0


async def test_many_values_are_sealed_at_one_look(sql, admin, secrets):
    admin.execute(
        "INSERT INTO armillary.variables (deployment, key, value, secret)"
        " SELECT 'demo/hello', 'K' || n, 'v' || n, true FROM generate_series(1, 130) n"
    )
    await secrets.seal_inbox()

    assert one(sql, "SELECT count(*) FROM armillary.variables WHERE version > 0") == 130
    assert await secrets.reveal(variable(sql, "K77")) == "v77"


def test_nobody_truncates_the_inbox_by_hand(sql):
    with pytest.raises(psycopg.Error, match="never truncated"):
        sql.execute("TRUNCATE core.secret_inbox")


# --- sealed text ------------------------------------------------------------------------------------------


async def test_sealed_text_is_opened_and_sealed_as_a_version(sql, admin, secrets, keyring):
    text = sealed_text.write(keyring, Owner.parse(owner(sql)), "KEY", "the value, ünlike others")
    admin.execute(SECRET, ("KEY", text))
    await secrets.seal_inbox()

    first = variable(sql)
    assert await secrets.reveal(first) == "the value, ünlike others"
    # the same value, sealed another time: nothing is changed
    admin.execute(
        "UPDATE armillary.variables SET value = %s",
        (sealed_text.write(keyring, Owner.parse(owner(sql)), "KEY", "the value, ünlike others"),),
    )
    await secrets.seal_inbox()
    assert variable(sql) == first


@pytest.mark.parametrize(
    ("spoil", "rule"),
    [
        (lambda text: text.replace(".KEY.", ".OTHER."), "sealed_text_is_for_its_place"),
        (lambda text: text.replace("deployment/", "deployment/9"), "sealed_text_is_for_its_place"),
        (lambda text: text[: text.rindex(".") + 9], "sealed_text_is_whole"),
        (lambda text: text.replace(".v1.", ".v2."), "sealed_text_is_whole"),
        (lambda text: text + "\n", "sealed_text_is_whole"),
    ],
)
def test_sealed_text_for_another_place_is_refused_when_it_is_written(sql, admin, keyring, spoil, rule):
    text = sealed_text.write(keyring, Owner.parse(owner(sql)), "KEY", "x")
    with pytest.raises(psycopg.Error) as caught:
        admin.execute(SECRET, ("KEY", spoil(text)))

    assert caught.value.diag.constraint_name == rule
    assert caught.value.diag.column_name == "/variables/KEY/value"
    assert "armillary secret seal demo/hello KEY" in caught.value.diag.message_hint
    assert rows(sql, "SELECT * FROM armillary.variables") == []


@pytest.mark.parametrize("spoilt", ["changed", "of another key ring", "of another name"])
async def test_sealed_text_that_does_not_open_is_told_and_what_was_in_force_stays(
    sql, admin, secrets, keyring, spoilt
):
    admin.execute(SECRET, ("KEY", "first"))
    await secrets.seal_inbox()
    ring = Keyring.in_memory() if spoilt == "of another key ring" else keyring
    text = sealed_text.write(ring, Owner.parse(owner(sql)), "OTHER" if spoilt == "of another name" else "KEY", "x")
    text = text.replace(".OTHER.", ".KEY.")
    if spoilt == "changed":
        text = text[:-8] + ("AAAAAAAA" if not text.endswith("AAAAAAAA") else "BBBBBBBB")
    admin.execute("UPDATE armillary.variables SET value = %s", (text,))
    await secrets.seal_inbox()

    assert one(sql, "SELECT count(*) FROM core.secret_inbox") == 0
    assert await secrets.reveal(variable(sql)) == "first"
    ((reason, message),) = rows(sql, "SELECT reason, message FROM armillary.events")
    assert reason == "SecretRefused"
    assert "seal the value anew" in message


def test_where_plain_text_is_refused_the_error_says_how_to_seal(sql, admin):
    admin.execute("UPDATE armillary.defaults SET refuse_plaintext = true")
    with pytest.raises(psycopg.Error) as caught:
        admin.execute(SECRET, ("KEY", "plain"))

    diag = caught.value.diag
    assert (diag.sqlstate, diag.constraint_name) == ("AR004", "secrets_are_sealed_before_sql")
    assert "armillary secret seal demo/hello KEY" in diag.message_hint
    assert "plain'" not in str(caught.value)
    assert admin.execute(PLAIN, ("NAME", "no secret")).rowcount == 1


async def test_where_plain_text_is_refused_sealed_text_and_the_api_go_on(
    sql, admin, secrets, keyring, database_url
):
    admin.execute("UPDATE armillary.defaults SET refuse_plaintext = true")
    text = sealed_text.write(keyring, Owner.parse(owner(sql)), "KEY", "x")
    admin.execute(SECRET, ("KEY", text))
    with psycopg.connect(database_url) as api:
        api.execute("SET LOCAL armillary.actor = 'ann'")  # the session is one that is believed
        api.execute(SECRET, ("OTHER", "y"))
    await secrets.seal_inbox()

    assert await secrets.reveal(variable(sql)) == "x"
    assert await secrets.reveal(variable(sql, "OTHER")) == "y"
