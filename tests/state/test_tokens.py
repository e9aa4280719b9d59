"""Tokens are shown once, verified by their hash, and end when they expire or are revoked."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.tokens import Tokens, is_well_formed, mint


@pytest.fixture
def tokens(database):
    return Tokens(database)


async def test_a_created_token_is_verified(tokens):
    plain = await tokens.create("laptop")
    token = await tokens.verify(plain)

    assert plain.startswith("arm_")
    assert token is not None
    assert token.name == "laptop"


async def test_the_plain_form_is_stored_nowhere(tokens, execute):
    plain = await tokens.create("laptop")
    stored = execute("SELECT t::text FROM core.tokens t") + execute("SELECT a::text FROM core.audit a")

    assert plain not in str(stored)
    assert plain.removeprefix("arm_") not in str(stored)


async def test_an_unknown_token_is_nobodys(tokens):
    assert await tokens.verify(mint()) is None


async def test_a_token_ends_when_it_expires(tokens, database, execute):
    plain = await tokens.create("short", lifetime=timedelta(hours=1))
    assert await tokens.verify(plain) is not None
    execute("UPDATE core.tokens SET expires_at = now() - interval '1 second'")

    assert await Tokens(database).verify(plain) is None


async def test_a_token_is_not_remembered_for_longer_than_it_lives(tokens, execute):
    plain = await tokens.create("short", lifetime=timedelta(milliseconds=300))
    assert await tokens.verify(plain) is not None
    execute("SELECT pg_sleep(0.35)")

    assert await tokens.verify(plain) is None


async def test_a_revoked_token_is_refused_at_once_where_it_was_revoked(tokens):
    plain = await tokens.create("lost")
    token = await tokens.verify(plain)
    assert token is not None
    assert await tokens.revoke(token.id)

    assert await tokens.verify(plain) is None
    assert not await tokens.revoke(token.id)
    assert await tokens.list() == ()


async def test_a_verified_token_is_not_asked_for_again_within_seconds(tokens, execute):
    plain = await tokens.create("busy")
    before = await tokens.verify(plain)
    execute("DELETE FROM core.tokens")

    assert await tokens.verify(plain) == before


@given(st.text(max_size=80))
def test_no_other_text_is_well_formed(text):
    assert not is_well_formed(text)


@given(position=st.integers(4, 50), other=st.sampled_from("abcXYZ019-_"))
def test_a_mistyped_character_is_noticed(position, other):
    plain = mint()
    mistyped = plain[:position] + other + plain[position + 1 :]

    assert is_well_formed(plain)
    assert is_well_formed(mistyped) == (mistyped == plain)
