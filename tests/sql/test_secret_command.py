"""`armillary secret`: seals for psql, rotates and forgets keys, and says what to do when it cannot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from model.names import SecretRef
from state.database import connect
from state.keyring import Keyring
from state.secrets import Secrets
from tests.state.fleet import SECRET, fleet, one, owner


@pytest.fixture
def sql(database_url):
    with fleet(database_url, others=1) as sql:
        yield sql


@pytest.fixture
async def database(database_url):
    database = await connect(database_url, application_name="armillary test")
    yield database
    await database.close()


@pytest.fixture
def path(tmp_path):
    Keyring.load_or_create(tmp_path / "keyring.json")
    return tmp_path / "keyring.json"


@pytest.fixture
def armillary(database_url, sql, path):
    """Runs the command in the key ring's home, or another one."""

    def run(*arguments, given="", home=path.parent):
        environ = {**os.environ, "ARMILLARY_HOME": str(home), "ARMILLARY_DATABASE": database_url}
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.run(
            command, env=environ, input=given, capture_output=True, text=True, timeout=60, check=False
        )

    return run


async def test_the_command_seals_for_psql_rotates_and_forgets(sql, database, armillary, path):
    sealed = armillary("secret", "seal", "demo/hello", "KEY", given="from stdin\n")
    assert sealed.returncode == 0, sealed.stderr
    assert re.fullmatch(r"armillary-sealed\.v1\.k-[0-9a-f]{8}\.deployment/\d+\.KEY\.[\w-]+\n", sealed.stdout)
    sql.execute(SECRET, ("KEY", sealed.stdout.strip()))
    daemon = Secrets(database, Keyring.load_or_create(path))
    await daemon.seal_inbox()
    secret = SecretRef(owner(sql), "variable/KEY", one(sql, "SELECT version FROM armillary.variables"))
    assert await daemon.reveal(secret) == "from stdin"

    rotated = armillary("secret", "rotate-key")
    assert rotated.returncode == 0, rotated.stderr
    assert "1 secrets were sealed anew." in rotated.stdout
    assert len(json.loads(path.read_text())["keys"]) == 2
    forgotten = armillary("secret", "forget-keys")
    assert forgotten.returncode == 0, forgotten.stderr
    assert len(json.loads(path.read_text())["keys"]) == 1
    assert await Secrets(database, Keyring.load_or_create(path)).reveal(secret) == "from stdin"


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        (("demo/helo", "KEY"), "x", "Did you mean demo/hello?"),
        (("demo/hello", "1KEY"), "x", "cannot be the name of a variable"),
        (("demo/hello", "KEY"), "", "The value is empty"),
        (("demo/hello", "KEY"), "x" * 120_000, "too long to be sealed"),
    ],
)
def test_the_command_says_what_to_do_when_it_cannot_seal(armillary, arguments, given, told):
    done = armillary("secret", "seal", *arguments, given=given)

    assert done.returncode not in (0, 1) or "too long" in told
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_without_the_key_ring_the_command_makes_none(armillary, tmp_path):
    (tmp_path / "empty").mkdir()
    done = armillary("secret", "seal", "demo/hello", "KEY", given="x", home=tmp_path / "empty")

    assert done.returncode != 0
    assert "There is no key ring here." in done.stderr
    assert list((tmp_path / "empty").iterdir()) == []
