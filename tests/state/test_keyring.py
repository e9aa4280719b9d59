"""The key ring seals values to their place, and says what to do when one does not open."""

import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.errors import SecretMissing
from state.keyring import Keyring, Sealed

RING = Keyring.in_memory()
PLACE = ("deployment/7", "fernet-key", 1)


@given(value=st.text(), owner=st.text(), name=st.text(), version=st.integers(1, 10_000))
def test_what_was_sealed_opens_at_its_place(value, owner, name, version):
    sealed = RING.seal(owner, name, version, value)

    assert RING.open(owner, name, version, sealed) == value


@pytest.mark.parametrize(
    "place",
    [("deployment/8", "fernet-key", 1), ("deployment/7", "jwt-secret", 1), ("deployment/7", "fernet-key", 2)],
)
def test_a_value_moved_to_another_place_does_not_open(place):
    sealed = RING.seal(*PLACE, "value-x91")

    with pytest.raises(SecretMissing, match="changed or moved") as caught:
        RING.open(*place, sealed)

    assert "value-x91" not in str(caught.value)


def test_a_place_cannot_be_confused_by_shifting_its_parts():
    sealed = RING.seal("deployment/1", "2", 3, "v")

    with pytest.raises(SecretMissing):
        RING.open("deployment/12", "", 3, sealed)


def test_a_value_of_an_unknown_key_says_which_key_is_missing_and_what_to_do():
    sealed = Keyring.in_memory().seal(*PLACE, "v")

    with pytest.raises(SecretMissing, match=rf"{sealed.key_id}.*restore the key ring"):
        RING.open(*PLACE, sealed)


def test_a_changed_ciphertext_does_not_open():
    sealed = RING.seal(*PLACE, "v")
    changed = Sealed(key_id=sealed.key_id, ciphertext=sealed.ciphertext[:-1] + bytes([sealed.ciphertext[-1] ^ 1]))

    with pytest.raises(SecretMissing):
        RING.open(*PLACE, changed)


def test_the_file_is_made_once_and_read_by_its_owner_alone(tmp_path):
    path = tmp_path / "keyring.json"
    first = Keyring.load_or_create(path)
    second = Keyring.load_or_create(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.current == second.current
    assert second.open(*PLACE, first.seal(*PLACE, "v")) == "v"
    assert [one.name for one in tmp_path.iterdir()] == ["keyring.json"]


def test_after_a_rotation_new_values_use_the_new_key_and_old_ones_still_open(tmp_path):
    path = tmp_path / "keyring.json"
    ring = Keyring.load_or_create(path)
    before = ring.seal(*PLACE, "old")
    key_id = ring.rotate()
    after = ring.seal(*PLACE, "new")
    again = Keyring.load_or_create(path)

    assert before.key_id != after.key_id == key_id == again.current
    assert (again.open(*PLACE, before), again.open(*PLACE, after)) == ("old", "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "keyring.json"
    Keyring.load_or_create(path)
    path.chmod(0o644)

    with pytest.raises(SecretMissing, match="chmod 600"):
        Keyring.load_or_create(path)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"current": "a", "keys": {}}', '{"current": "a", "keys": {"a": "c2hvcnQ="}}', '{"keys": {}}'],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "keyring.json"
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(SecretMissing, match="restore it from a backup"):
        Keyring.load_or_create(path)

    assert path.read_text() == content


def test_keys_do_not_show_in_a_representation(tmp_path):
    path = tmp_path / "keyring.json"
    ring = Keyring.load_or_create(path)
    (key,) = json.loads(path.read_text())["keys"].values()

    assert key not in repr(ring)
    assert "_keys=" not in repr(ring)
