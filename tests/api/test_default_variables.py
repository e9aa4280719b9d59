"""Default variables over HTTP: each layer by itself, and what deployments have of them."""

import pytest

from tests.api.conftest import HELLO, WORKSPACE

PLATFORM = "/v1/default-variables"
CLUSTER = "/v1/clusters/local/default-variables"
OF_WORKSPACE = f"{WORKSPACE}/default-variables"
EFFECTIVE = "SELECT key, value, layer FROM armillary.effective_variables ORDER BY key"


@pytest.mark.parametrize("layer", [PLATFORM, CLUSTER, OF_WORKSPACE])
async def test_a_default_variable_is_made_changed_read_and_removed(api, hello, execute, layer):
    made = await api.put(f"{layer}/TEAM", {"value": "data"})
    changed = await api.put(f"{layer}/TEAM", {"value": "web"})
    read, listed = await api.get(f"{layer}/TEAM"), await api.get(layer)
    reaches = execute(EFFECTIVE)
    removed = await api.delete(f"{layer}/TEAM")

    assert [one.status for one in (made, changed, read, removed)] == [201, 200, 200, 204]
    assert (read.json, listed.json) == ({"value": "web"}, {"TEAM": {"value": "web"}})
    assert [(key, value) for key, value, _ in reaches] == [("TEAM", "web")]
    assert (await api.get(f"{layer}/TEAM")).status == 404
    assert (await api.delete(f"{layer}/TEAM")).status == 404
    assert execute("SELECT operation, actor FROM core.audit WHERE relation = 'default_variables' ORDER BY id") == [
        (did, "ann") for did in ("INSERT", "UPDATE", "DELETE")
    ]


async def test_the_narrower_layer_wins_and_the_deployment_over_all(api, hello, execute):
    for value, path in (
        ("platform", PLATFORM),
        ("cluster", CLUSTER),
        ("workspace", OF_WORKSPACE),
        ("own", f"{HELLO}/variables"),
    ):
        await api.put(f"{path}/A", {"value": value})

        assert execute(EFFECTIVE) == [("A", value, "deployment" if value == "own" else value)]
    assert (await api.get(PLATFORM)).json == {"A": {"value": "platform"}}


async def test_default_variables_count_in_no_generation(api, hello):
    before = (await api.get(HELLO)).etag

    await api.put(f"{PLATFORM}/A", {"value": "x"})

    assert (await api.get(HELLO)).etag == before


@pytest.mark.parametrize(
    ("path", "document", "told"),
    [
        (f"{PLATFORM}/9KEY", {"value": "x"}, (422, "")),
        (f"{PLATFORM}/AIRFLOW_HOME", {"value": "x"}, (422, "")),
        (f"{PLATFORM}/A", {"value": "x" * 131073}, (422, "/value")),
        (f"{PLATFORM}/A", {"value": None}, (422, "/value")),
        (f"{PLATFORM}/A", {}, (422, "/value")),
        (f"{PLATFORM}/A", {"value": "x", "secret": True}, (422, "/secret")),
        ("/v1/clusters/moon/default-variables/A", {"value": "x"}, (404, None)),
        ("/v1/workspaces/none/default-variables/A", {"value": "x"}, (404, None)),
    ],
)
async def test_what_cannot_be_is_refused_and_nothing_changes(api, everything, path, document, told):
    await api.put(WORKSPACE, {})
    before = everything()

    refused = await api.put(path, document)

    assert (refused.status, refused.json.get("pointer")) == told
    assert refused.json["hint"]
    assert everything() == before
