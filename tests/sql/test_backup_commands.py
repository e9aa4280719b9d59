"""`armillary backup`, `restore` and `takeover`, from one home to a new one, on a real server."""

from __future__ import annotations

import json

import psycopg
import pytest

from cli.errors import ExitCode
from cli.main import run
from state.keyring import Keyring
from tests.state.fleet import fleet, one, rows

PASSPHRASE = "correct horse battery"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a key ring and an identity."""
    monkeypatch.setenv("ARMILLARY_PASSPHRASE", PASSPHRASE)
    place = tmp_path / "home"
    place.mkdir()
    Keyring.load_or_create(place / "keyring.json")
    (place / "installation.json").write_text(json.dumps({"installation": "one"}) + "\n")
    return place


@pytest.fixture
def backed_up(database_url, home, tmp_path):
    """A file with one deployment in it."""
    with fleet(database_url):
        pass
    arguments = ["backup", str(tmp_path / "b"), "--database", database_url, "--home", str(home)]
    assert run(arguments) == ExitCode.OK
    return tmp_path / "b"


def test_from_one_home_to_a_new_one_and_on_after_the_takeover(
    backed_up, empty_database_url, tmp_path, monkeypatch, capsys
):
    home, new = tmp_path / "home", tmp_path / "new"
    arguments = ["restore", str(backed_up), "--database", empty_database_url, "--home", str(new)]

    assert run(arguments) == ExitCode.OK

    assert "armillary takeover" in " ".join(capsys.readouterr().out.split())
    assert (
        Keyring.load_or_create(new / "keyring.json").key_ids
        == Keyring.load_or_create(home / "keyring.json").key_ids
    )
    assert (new / "installation.json").read_text() == (home / "installation.json").read_text()
    held = "SELECT restored_at IS NOT NULL FROM core.installation"
    with psycopg.connect(empty_database_url, autocommit=True) as sql:
        assert one(sql, held)
        monkeypatch.setenv("ARMILLARY_DATABASE", empty_database_url)
        assert run(["takeover", "a drill", "--home", str(new)]) == ExitCode.OK
        assert not one(sql, held)
        told = rows(sql, "SELECT key, reason FROM armillary.audit ORDER BY id DESC LIMIT 1")
        assert told == [("takeover", "a drill")]
        for (name,) in rows(
            sql, "SELECT datname FROM pg_database WHERE datname LIKE current_database() || '_before_%'"
        ):
            sql.execute(f"DROP DATABASE {name}")


def test_a_check_reads_all_of_it_and_changes_nothing(backed_up, empty_database_url, tmp_path, capsys):
    arguments = [
        "restore",
        "--check",
        str(backed_up),
        "--database",
        empty_database_url,
        "--home",
        str(tmp_path / "new"),
    ]

    assert run(arguments) == ExitCode.OK

    assert "is whole and holds 1 deployments" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "new").exists()
    with psycopg.connect(empty_database_url) as sql:
        assert one(sql, "SELECT to_regnamespace('core')") is None


def test_the_home_of_another_installation_is_left_alone(backed_up, empty_database_url, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "installation.json").write_text(json.dumps({"installation": "two"}) + "\n")
    arguments = ["restore", str(backed_up), "--database", empty_database_url, "--home", str(other)]

    assert run(arguments) == ExitCode.REFUSED

    assert "another installation" in capsys.readouterr().err
    assert not (other / "keyring.json").exists()


def test_a_wrong_passphrase_is_told_as_such(backed_up, empty_database_url, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ARMILLARY_PASSPHRASE", "another passphrase")
    arguments = ["restore", str(backed_up), "--database", empty_database_url, "--home", str(tmp_path / "new")]

    assert run(arguments) == ExitCode.REFUSED
    assert "the passphrase is another one" in " ".join(capsys.readouterr().err.split())
