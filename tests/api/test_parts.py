"""Components and variables, each by itself."""

import asyncio

from tests.api.conftest import HELLO

TRIGGERER = f"{HELLO}/components/triggerer"


async def test_components_are_read_one_by_one_and_all(api, hello):
    listed = await api.get(f"{HELLO}/components")
    one = await api.get(TRIGGERER)

    assert listed.json == hello["components"]
    assert (one.json, one.etag) == (hello["components"]["triggerer"], '"1"')


async def test_a_component_is_scaled_alone(api, hello):
    changed = await api.patch(TRIGGERER, {"replicas": 0}, If_Match='"1"')
    late = await api.patch(TRIGGERER, {"replicas": 2}, If_Match='"1"')
    after = (await api.get(HELLO)).json

    assert (changed.status, changed.json["replicas"], changed.etag, late.status) == (200, 0, '"2"', 412)
    assert after == hello | {
        "components": hello["components"] | {"triggerer": changed.json},
        "generation": 2,
    }


async def test_a_null_gives_a_component_its_default_back(api, hello):
    await api.patch(TRIGGERER, {"replicas": 0, "memory_mib": 512, "settings": {"capacity": 9}})

    changed = await api.patch(TRIGGERER, {"replicas": None, "memory_mib": None, "settings": {"capacity": None}})

    assert changed.json == hello["components"]["triggerer"]


async def test_a_variable_is_made_changed_read_and_removed(api, hello):
    path = f"{HELLO}/variables/TEAM"

    made = await api.put(path, {"value": "data"})
    same = await api.put(path, {"value": "data"})
    changed = await api.put(path, {"value": "web", "components": ["scheduler"]})
    read, listed = await api.get(path), await api.get(f"{HELLO}/variables")
    removed = await api.delete(path)

    assert [one.status for one in (made, same, changed, removed)] == [201, 200, 200, 204]
    assert [one.etag for one in (made, same, changed, removed)] == ['"2"', '"2"', '"3"', '"4"']
    assert read.json == {"value": "web", "components": ["scheduler"]}
    assert listed.json == {"TEAM": read.json}
    assert (await api.get(path)).status == 404


async def test_a_secret_is_written_and_never_read(api, hello, secrets, execute):
    path = f"{HELLO}/variables/KEY"

    made = await api.put(path, {"secret": True, "value": "canary-1"})
    await secrets.seal_inbox()
    kept = await api.put(path, {"secret": True, "components": []})
    changed = await api.patch(HELLO, {"variables": {"KEY": {"value": "canary-2"}}})
    await secrets.seal_inbox()

    assert made.json == {"secret": True, "version": 0, "components": []}
    assert changed.status == 200
    ((first,), (second,)) = execute("SELECT version FROM core.secrets ORDER BY version")
    assert kept.json == {"secret": True, "version": first, "components": []}
    assert (await api.get(path)).json == {"secret": True, "version": second, "components": []}


async def test_variables_written_at_once_are_all_kept(api, hello):
    keys = [f"K{number}" for number in range(4)]

    replies = await asyncio.gather(*(api.put(f"{HELLO}/variables/{key}", {"value": key}) for key in keys))

    assert [one.status for one in replies] == [201] * 4
    assert sorted((await api.get(f"{HELLO}/variables")).json) == keys


async def test_errors_point_into_the_part_that_was_sent(api, hello):
    replicas = await api.patch(TRIGGERER, {"replicas": 99})
    setting = await api.patch(TRIGGERER, {"settings": {"capacty": 1}})
    reader = await api.put(f"{HELLO}/variables/A", {"value": "x", "components": ["nobody"]})
    secret = await api.put(f"{HELLO}/variables/A", {"secret": True})

    assert [one.json["pointer"] for one in (replicas, setting, reader, secret)] == [
        "/replicas",
        "/settings/capacty",
        "/components",
        "/value",
    ]
    assert "capacity" in setting.json["hint"]


async def test_what_is_not_there_is_told_with_what_is(api, hello):
    component = await api.get(f"{HELLO}/components/worker")
    variable = await api.delete(f"{HELLO}/variables/NONE")

    assert (component.status, variable.status) == (404, 404)
    assert "scheduler" in component.json["hint"]
