"""Backups: one sealed file, checked before anything is overwritten, and what was there before is kept."""

from __future__ import annotations

import json
import stat

import psycopg
import pytest

from state import backup, vault
from state.errors import Refused, StateError
from state.keyring import Keyring
from tests.state.fleet import PLAIN, everything, fleet, one, rows

PASSPHRASE = "correct horse battery"
CANARY = "canary-7a31"


@pytest.fixture
def keyring(tmp_path):
    Keyring.load_or_create(tmp_path / "keyring.json")
    return tmp_path / "keyring.json"


@pytest.fixture
def filled(database_url):
    """A database with three deployments, a variable, a sealed secret and one that waits."""
    with fleet(database_url, others=2) as sql:
        sql.execute(PLAIN, ("GREETING", CANARY))
    return database_url


def made(url, tmp_path, keyring):
    target = tmp_path / "state.backup"
    (tmp_path / "installation.json").write_text('{"installation": "abc"}\n')
    backup.write(url, target, PASSPHRASE, keyring=keyring, installation=tmp_path / "installation.json")
    return target


@pytest.fixture
def elsewhere(make_database):
    """The URL of a database that is not there: its name is free."""
    with make_database() as url:
        server = url.rpartition("/")[0] + "/postgres"
        name = url.rpartition("/")[2]
        with psycopg.connect(server, autocommit=True) as session:
            session.execute(f"DROP DATABASE {name}")
            yield url
            session.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            for (kept,) in session.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{name}_%",)
            ).fetchall():
                session.execute(f"DROP DATABASE {kept} WITH (FORCE)")


def test_a_restored_database_has_every_row_and_is_held_until_somebody_takes_over(
    filled, elsewhere, tmp_path, keyring
):
    target = made(filled, tmp_path, keyring)

    with backup.opened(target, PASSPHRASE) as read:
        done = backup.restore(elsewhere, read, replace=False)

    assert done.kept == ""
    with psycopg.connect(filled, autocommit=True) as sql, psycopg.connect(elsewhere, autocommit=True) as other:
        before, after = everything(sql), everything(other)
        assert [name for name in before if before[name] != after[name]] == ["installation"]
        whom = one(other, "SELECT owner FROM core.deployments LIMIT 1")
        held = one(other, "SELECT core.load(%s)->>'held'", whom)
        assert "SELECT armillary.takeover" in held
        other.execute("SELECT armillary.takeover('a drill')")
        assert one(other, "SELECT core.load(%s)->>'held'", whom) is None
        assert rows(other, "SELECT core.untold()") == []
        other.execute("SET ROLE armillary_admin")
        other.execute("UPDATE armillary.deployments SET hibernated = true WHERE deployment = 'demo/hello'")


def test_nothing_in_the_file_can_be_read_and_only_its_owner_may_try(filled, tmp_path, keyring):
    target = made(filled, tmp_path, keyring)
    content = target.read_bytes()

    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert content.startswith(vault.MAGIC)
    for secret in (CANARY.encode(), b"demo-hello", *json.loads(keyring.read_text())["keys"].values()):
        assert (secret if isinstance(secret, bytes) else secret.encode()) not in content


@pytest.mark.parametrize("where", [0, 30, 200, -1])
def test_a_file_that_was_changed_anywhere_does_not_open(filled, tmp_path, keyring, where):
    target = made(filled, tmp_path, keyring)
    content = bytearray(target.read_bytes())
    content[where] ^= 1
    target.write_bytes(content)

    with pytest.raises(Refused, match="Nothing was changed"), backup.opened(target, PASSPHRASE):
        pass


def test_a_file_that_was_cut_off_at_the_end_of_a_piece_does_not_open(tmp_path):
    target = tmp_path / "x"
    with target.open("wb") as file:
        sealing = vault.Sealing(file, PASSPHRASE)
        sealing.write(b"x" * (3 << 20))
        sealing.finish()
    content = target.read_bytes()
    piece = (1 << 20) + 16
    header = content.index(b"\n", len(vault.MAGIC)) + 1
    assert len(content) == header + 3 * piece
    target.write_bytes(content[: header + 2 * piece])

    with pytest.raises(Refused, match="cut off"), (tmp_path / "y").open("wb") as plain:
        vault.unseal(target, PASSPHRASE, plain)


def test_another_passphrase_does_not_open_it(filled, tmp_path, keyring):
    target = made(filled, tmp_path, keyring)

    with pytest.raises(Refused, match="passphrase is another one"), backup.opened(target, PASSPHRASE + "!"):
        pass


def test_a_short_passphrase_is_refused_and_leaves_no_file(filled, tmp_path, keyring):
    with pytest.raises(Refused, match="shorter than 8"):
        backup.write(filled, tmp_path / "b", "short", keyring=keyring, installation=tmp_path / "none")

    assert not list(tmp_path.glob("*b*"))


def test_a_backup_overwrites_nothing(filled, tmp_path, keyring):
    target = tmp_path / "mine"
    target.write_text("precious")

    with pytest.raises(Refused, match="exists already"):
        backup.write(filled, target, PASSPHRASE, keyring=keyring, installation=tmp_path / "none")

    assert target.read_text() == "precious"


def test_a_backup_without_the_right_key_ring_is_refused(filled, tmp_path, keyring):
    with psycopg.connect(filled, autocommit=True) as sql:
        sql.execute(
            "INSERT INTO core.secrets (owner, name, version, key_id, ciphertext)"
            " VALUES ('o', 'n', 1, 'k-lost', '\\x00')"
        )

    with pytest.raises(Refused, match="does not hold k-lost"):
        made(filled, tmp_path, keyring)


def test_an_installation_that_is_there_is_overwritten_by_nothing_and_put_aside_when_asked(
    filled, make_database, template_database, tmp_path, keyring
):
    target = made(filled, tmp_path, keyring)
    with make_database(template_database) as present:
        with fleet(present) as sql:
            sql.execute("UPDATE armillary.deployments SET dags_folder = '/present'")
        with backup.opened(target, PASSPHRASE) as read:
            with pytest.raises(Refused, match="holds an installation with 1 deployments already"):
                backup.restore(present, read, replace=False)
            done = backup.restore(present, read, replace=True)
        kept = present.rpartition("/")[0] + "/" + done.kept
        with psycopg.connect(kept, autocommit=True) as sql:
            assert rows(sql, "SELECT dags_folder FROM core.deployments") == [("/present",)]
        with psycopg.connect(present, autocommit=True) as sql:
            assert one(sql, "SELECT count(*) FROM core.deployments") == 3
            sql.execute(f"DROP DATABASE {done.kept}")


def test_a_database_in_use_is_left_alone_and_its_user_is_named(filled, make_database, tmp_path, keyring):
    target = made(filled, tmp_path, keyring)
    with (
        make_database() as present,
        psycopg.connect(present, application_name="nightly report"),
        backup.opened(target, PASSPHRASE) as read,
        pytest.raises(Refused, match="nightly report"),
    ):
        backup.restore(present, read, replace=True)


def test_a_restore_that_fails_in_the_middle_leaves_everything_as_it_was(filled, elsewhere, tmp_path, keyring):
    target = made(filled, tmp_path, keyring)
    with backup.opened(target, PASSPHRASE) as read:
        read.manifest.rows["deployments"] = 4711
        with pytest.raises(StateError, match="not what the backup says"):
            backup.restore(elsewhere, read, replace=False)

    server = elsewhere.rpartition("/")[0] + "/postgres"
    with psycopg.connect(server) as session:
        names = [one for (one,) in session.execute("SELECT datname FROM pg_database").fetchall()]
    assert not [one for one in names if one.startswith(elsewhere.rpartition("/")[2])]


def test_a_backup_of_a_newer_release_is_refused(filled, tmp_path, keyring):
    with psycopg.connect(filled, autocommit=True) as sql:
        sql.execute("UPDATE schema_version SET version_num = '9999'")
    target = made(filled, tmp_path, keyring)

    with pytest.raises(Refused, match="newer release"), backup.opened(target, PASSPHRASE):
        pass


def test_plain_text_that_waits_to_be_sealed_is_in_no_backup(filled, elsewhere, tmp_path, keyring):
    with psycopg.connect(filled, autocommit=True) as sql:
        sql.execute(
            "INSERT INTO armillary.variables (deployment, key, value, secret)"
            " VALUES ('demo/hello', 'S', 'x', true)"
        )
        assert one(sql, "SELECT count(*) FROM core.secret_inbox") == 1
    target = made(filled, tmp_path, keyring)

    with backup.opened(target, PASSPHRASE) as read:
        backup.restore(elsewhere, read, replace=False)
    with psycopg.connect(elsewhere) as sql:
        assert one(sql, "SELECT count(*) FROM core.secret_inbox") == 0


def test_a_key_ring_gains_the_restored_keys_and_loses_none(tmp_path, keyring):
    other = tmp_path / "other.json"
    restored = Keyring.load_or_create(other)
    present = Keyring.load_or_create(keyring)

    backup.put_keyring(keyring, other.read_bytes())

    both = Keyring.load_or_create(keyring)
    assert both.key_ids == restored.key_ids | present.key_ids
    assert both.current == present.current
    assert len(list(tmp_path.glob("keyring.json.before-*"))) == 1
    backup.put_keyring(keyring, other.read_bytes())
    assert len(list(tmp_path.glob("keyring.json.before-*"))) == 1
