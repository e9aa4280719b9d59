"""Deployments through HTTP: make, read, change, delete, undelete; and what two people at once see."""

import asyncio

from tests.api.conftest import HELLO, SMALLEST, WORKSPACE


async def test_a_deployment_is_made_with_its_defaults(api):
    await api.put(WORKSPACE, {"description": "first"})

    made = await api.put(HELLO, SMALLEST)

    assert (made.status, made.etag) == (201, '"1"')
    assert made.json["release"] == "demo-hello"
    assert made.json["components"]["triggerer"]["replicas"] == 1
    assert (await api.get(HELLO)).json == made.json
    assert (await api.get(f"{WORKSPACE}/deployments")).json == [made.json]
    assert (await api.get("/v1/deployments")).json == [made.json]


async def test_a_deployment_needs_its_workspace(api):
    refused = await api.put(HELLO, SMALLEST)

    assert refused.status == 404
    assert "demo" in refused.json["detail"]
    assert (await api.get(f"{WORKSPACE}/deployments")).status == 404


async def test_the_same_put_twice_changes_nothing(api, everything):
    await api.put(WORKSPACE, {})
    document = SMALLEST | {"variables": {"TEAM": {"value": "data"}}, "components": {"triggerer": {"replicas": 0}}}
    first = await api.put(HELLO, document)
    before = everything()

    second = await api.put(HELLO, document)

    assert (second.status, second.json) == (200, first.json)
    assert everything() == before


async def test_the_same_put_with_a_secret_twice_changes_nothing(api, everything, secrets):
    await api.put(WORKSPACE, {})
    document = SMALLEST | {"variables": {"KEY": {"secret": True, "value": "canary"}}}
    await api.put(HELLO, document)
    await secrets.seal_inbox()
    before = everything()

    await api.put(HELLO, document)
    await secrets.seal_inbox()

    assert everything() == before


async def test_what_was_read_can_be_written_back_and_changes_nothing(api, hello, everything, secrets):
    await api.patch(HELLO, {"variables": {"KEY": {"secret": True, "value": "canary"}, "TEAM": {"value": "x"}}})
    await secrets.seal_inbox()
    read = await api.get(HELLO)
    before = everything()

    written = await api.put(HELLO, read.json)

    assert (written.status, written.json) == (200, read.json)
    variable = read.json["variables"]["KEY"]
    assert variable == {"secret": True, "version": variable["version"], "components": []}
    assert variable["version"] > 0
    assert everything() == before


async def test_a_deleted_deployment_read_and_written_back_stays_deleted(api, hello, everything):
    await api.delete(HELLO)
    read, before = await api.get(HELLO), everything()

    written = await api.put(HELLO, read.json)

    assert (written.status, written.json) == (200, read.json)
    assert everything() == before


async def test_a_put_replaces_everything_that_was_asked_for(api, hello):
    await api.patch(
        HELLO, {"variables": {"A": {"value": "1"}}, "components": {"scheduler": {"grace_seconds": 60}}}
    )

    changed = await api.put(HELLO, SMALLEST | {"variables": {"B": {"value": "2"}}})

    assert changed.status == 200
    assert changed.json["variables"] == {"B": {"value": "2", "components": []}}
    assert changed.json["components"] == hello["components"]


async def test_a_patch_changes_what_it_names_and_null_removes(api, hello):
    await api.patch(HELLO, {"variables": {"A": {"value": "1"}, "B": {"value": "2"}}})

    changed = await api.patch(HELLO, {"hibernated": True, "variables": {"A": None}})

    assert (changed.status, changed.etag) == (200, '"3"')
    assert changed.json == hello | {
        "hibernated": True,
        "variables": {"B": {"value": "2", "components": []}},
        "generation": 3,
    }


async def test_a_patch_that_changes_nothing_writes_nothing(api, hello, everything):
    before = everything()

    unchanged = await api.patch(HELLO, {"hibernated": False, "components": {"triggerer": {"replicas": 1}}})

    assert (unchanged.status, unchanged.json) == (200, hello)
    assert everything() == before


async def test_a_pause_is_set_and_ended(api, hello):
    paused = await api.patch(HELLO, {"paused_until": "2030-01-01T00:00:00Z", "pause_reason": "maintenance"})
    resumed = await api.patch(HELLO, {"paused_until": None, "pause_reason": ""})

    assert paused.json["paused_until"] == "2030-01-01T00:00:00+00:00"
    assert resumed.json["paused_until"] is None


async def test_a_deletion_is_asked_for_and_taken_back(api, hello):
    deleted = await api.delete(HELLO)
    again = await api.delete(HELLO)
    kept = await api.patch(HELLO, {"deletion_requested_at": None})

    assert deleted.status == 202
    assert deleted.json["delete_after"] is not None
    assert (again.status, again.json) == (202, deleted.json)
    assert (kept.status, kept.json) == (200, hello | {"generation": 3})


async def test_a_patch_of_a_deleted_deployment_does_not_undelete_it(api, hello, execute):
    deleted = (await api.delete(HELLO)).json

    sooner = await api.patch(HELLO, {"retain_until": deleted["delete_after"]})

    assert sooner.json["deletion_requested_at"] == deleted["deletion_requested_at"]
    assert sooner.json["retain_until"] == deleted["delete_after"]
    assert execute("SELECT count(*) FROM core.deployments") == [(1,)]


async def test_a_new_deployment_may_take_a_deleted_ones_name_and_gets_another_release(api, hello):
    await api.delete(HELLO)

    made = await api.put(HELLO, SMALLEST)

    assert (made.status, made.json["release"]) == (201, "demo-hello-2")
    assert (await api.get(HELLO)).json == made.json


async def test_only_who_read_the_newest_generation_may_write_with_if_match(api, hello, everything):
    changed = await api.patch(HELLO, {"hibernated": True}, If_Match='"1"')
    before = everything()

    for method, document in (("PUT", SMALLEST), ("PATCH", {"hibernated": False}), ("DELETE", None)):
        refused = await api(method, HELLO, document, If_Match='"1"')
        assert (refused.status, refused.json["type"]) == (412, "urn:armillary:problem:changed-meanwhile")

    assert changed.status == 200
    assert everything() == before
    assert (await api.put(HELLO, SMALLEST, If_Match=changed.etag)).status == 200


async def test_if_none_match_only_ever_creates(api):
    await api.put(WORKSPACE, {})

    first = await api.put(HELLO, SMALLEST, If_None_Match="*")
    second = await api.put(HELLO, SMALLEST | {"hibernated": True}, If_None_Match="*")

    assert (first.status, second.status) == (201, 412)
    assert (await api.get(HELLO)).json == first.json


async def test_if_match_any_only_ever_changes(api):
    await api.put(WORKSPACE, {})

    refused = await api.put(HELLO, SMALLEST, If_Match="*")
    await api.put(HELLO, SMALLEST)
    changed = await api.put(HELLO, SMALLEST | {"hibernated": True}, If_Match="*")

    assert (refused.status, changed.status) == (412, 200)


async def test_of_many_who_make_it_at_once_one_does(api):
    await api.put(WORKSPACE, {})

    replies = await asyncio.gather(*(api.put(HELLO, SMALLEST) for _ in range(6)))

    assert sorted(one.status for one in replies) == [200] * 5 + [201]
    assert (await api.get(HELLO)).json["generation"] == 1


async def test_patches_at_once_lose_nothing(api, hello):
    keys = [f"K{number}" for number in range(4)]

    replies = await asyncio.gather(*(api.patch(HELLO, {"variables": {key: {"value": key}}}) for key in keys))

    assert [one.status for one in replies] == [200] * 4
    assert sorted((await api.get(HELLO)).json["variables"]) == keys


async def test_of_two_patches_of_one_generation_one_is_refused(api, hello):
    replies = await asyncio.gather(
        *(api.patch(HELLO, {"variables": {key: {"value": key}}}, If_Match='"1"') for key in "AB")
    )

    assert sorted(one.status for one in replies) == [200, 412]
    assert len((await api.get(HELLO)).json["variables"]) == 1


async def test_who_changed_it_is_kept(api, hello, execute):
    ((actor, _),) = execute("SELECT actor, actor_is_claimed FROM core.audit WHERE relation = 'deployments'")

    assert (actor, (await api.get(f"{HELLO}/revisions")).json[0]["actor"]) == ("ann", "ann")


async def test_a_workspace_is_made_changed_and_removed(api):
    made = await api.put(WORKSPACE, {"description": "one"})
    same = await api.put(WORKSPACE, {"description": "one"})
    changed = await api.patch(WORKSPACE, {"description": "two"}, If_Match=made.etag)
    late = await api.patch(WORKSPACE, {"description": "three"}, If_Match=made.etag)
    listed = await api.get("/v1/workspaces")
    written_back = await api.put(WORKSPACE, changed.json)
    removed = await api.delete(WORKSPACE)

    assert [one.status for one in (made, same, changed, late, written_back, removed)] == [
        201,
        200,
        200,
        412,
        200,
        200,
    ]
    assert listed.json == [changed.json] == [written_back.json] == [removed.json]
    assert (await api.get("/v1/workspaces")).json == []


async def test_a_workspace_with_deployments_is_not_removed(api, hello):
    refused = await api.delete(WORKSPACE)

    assert (refused.status, refused.json["hint"] != "") == (409, True)
    assert (await api.get(HELLO)).json == hello
