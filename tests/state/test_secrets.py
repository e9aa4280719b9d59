"""Secrets are minted once, sealed before they are kept, and opened only for who names them exactly."""

import asyncio
import traceback

import pytest

from model.names import Owner, SecretRef
from state.errors import SecretMissing
from state.keyring import Keyring
from state.secrets import Secrets

OWNER = Owner("deployment", "7")


@pytest.fixture
def secrets(database, keyring):
    return Secrets(database, keyring)


def _ref(name, version=1, owner=OWNER):
    return SecretRef(str(owner), name, version)


async def test_a_minted_secret_is_revealed(secrets):
    versions = await secrets.mint(OWNER, {"fernet-key": "value-1", "jwt-secret": "value-2"})

    assert await secrets.reveal(_ref("fernet-key", versions["fernet-key"])) == "value-1"
    assert await secrets.reveal(_ref("jwt-secret", versions["jwt-secret"])) == "value-2"


async def test_a_secret_that_exists_is_never_minted_again(secrets, database, keyring):
    first = await secrets.mint(OWNER, {"fernet-key": "first"})
    versions = await secrets.mint(OWNER, {"fernet-key": "second"})

    assert versions == first
    assert await Secrets(database, keyring).reveal(_ref("fernet-key", versions["fernet-key"])) == "first"


async def test_a_secret_minted_anew_where_a_backup_has_lost_it_has_another_version(secrets, execute):
    versions = set()
    for _ in range(6):
        versions.add((await secrets.mint(OWNER, {"password": "x"}))["password"])
        execute("DELETE FROM core.secrets")

    assert len(versions) == 6
    assert {version % 1000 for version in versions} == {1}


async def test_of_two_who_mint_at_once_both_end_with_the_same_value(database, keyring):
    both = [Secrets(database, keyring), Secrets(database, keyring)]
    minted = await asyncio.gather(*(one.mint(OWNER, {"k": f"value {number}"}) for number, one in enumerate(both)))
    revealed = [await one.reveal(_ref("k", versions["k"])) for one, versions in zip(both, minted, strict=True)]

    assert revealed[0] == revealed[1]


async def test_no_plain_text_is_stored(secrets, execute):
    await secrets.mint(OWNER, {"fernet-key": "plain-4711"})
    ((stored,),) = execute("SELECT string_agg(encode(ciphertext, 'escape'), '') FROM core.secrets")

    assert "plain-4711" not in stored


async def test_a_secret_that_was_never_stored_is_told(secrets):
    with pytest.raises(SecretMissing, match=r"version 3 of the secret 'fernet-key' of deployment/7"):
        await secrets.reveal(_ref("fernet-key", 3))


async def test_another_key_ring_opens_nothing_and_says_what_to_do(secrets, database):
    versions = await secrets.mint(OWNER, {"fernet-key": "plain-4711"})
    with pytest.raises(SecretMissing, match="restore the key ring") as caught:
        await Secrets(database, Keyring.in_memory()).reveal(_ref("fernet-key", versions["fernet-key"]))

    assert "plain-4711" not in "".join(traceback.format_exception(caught.value))


async def test_a_ciphertext_copied_to_another_row_does_not_open(secrets, database, keyring, execute):
    versions = await secrets.mint(OWNER, {"a": "value a", "b": "value b"})
    execute("UPDATE core.secrets SET ciphertext = (SELECT ciphertext FROM core.secrets WHERE name = 'a')")

    with pytest.raises(SecretMissing, match="changed or moved"):
        await Secrets(database, keyring).reveal(_ref("b", versions["b"]))


async def test_values_are_in_no_representation(secrets):
    versions = await secrets.mint(OWNER, {"a": "plain-4711"})
    await secrets.reveal(_ref("a", versions["a"]))

    assert "plain-4711" not in repr(secrets)
