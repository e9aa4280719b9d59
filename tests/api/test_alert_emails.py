"""Who is to be told, over HTTP: put, listed and removed."""

import pytest

from tests.api.conftest import HELLO, WORKSPACE

EMAILS = f"{HELLO}/alert-emails"


async def put(api, email):
    return await api("PUT", f"{EMAILS}/{email}")


async def test_an_address_is_put_listed_and_removed(api, hello, execute):
    made, again = await put(api, "bob@example.org"), await put(api, "bob@example.org")
    await put(api, "Ann@example.org")
    listed = await api.get(EMAILS)
    removed, gone = [await api.delete(f"{EMAILS}/bob@example.org") for _ in range(2)]

    assert [one.status for one in (made, again, removed, gone)] == [201, 200, 204, 404]
    assert listed.json == [{"email": "Ann@example.org"}, {"email": "bob@example.org"}]
    assert "Ann@example.org" in gone.json["hint"]
    assert execute("SELECT operation, actor FROM core.audit WHERE relation = 'alert_emails' ORDER BY id") == [
        (did, "ann") for did in ("INSERT", "INSERT", "DELETE")
    ]


async def test_capital_letters_make_no_other_address(api, hello):
    await put(api, "ann@example.org")
    again = await put(api, "ANN@example.org")

    assert again.status == 200
    assert (await api.get(EMAILS)).json == [{"email": "ANN@example.org"}]
    assert (await api.delete(f"{EMAILS}/Ann@Example.org")).status == 204


async def test_an_address_counts_in_no_generation_and_stays_through_a_rollback(api, hello):
    await api.patch(HELLO, {"hibernated": True})
    before = (await api.get(HELLO)).etag
    await put(api, "ann@example.org")
    after = (await api.get(HELLO)).etag
    rolled_back = await api.put(f"{HELLO}/rollback", {"revision": 1})

    assert before == after
    assert rolled_back.status == 200
    assert (await api.get(EMAILS)).json == [{"email": "ann@example.org"}]


@pytest.mark.parametrize("email", ["nobody", "a@b@c", "a%20b@c", "a@b..c", "a@b%0A", "x" * 189 + "@example.org"])
async def test_what_is_no_address_is_refused_and_nothing_changes(api, hello, everything, email):
    before = everything()

    refused = await put(api, email)

    assert (refused.status, refused.json.get("pointer")) in ((422, ""), (404, None))
    assert refused.json["hint"]
    assert everything() == before


async def test_a_deployment_that_is_not_there_tells_nobody(api):
    await api.put(WORKSPACE, {})

    for answer in (await api.get(EMAILS), await put(api, "ann@example.org"), await api.delete(f"{EMAILS}/a@b")):
        assert answer.status == 404
