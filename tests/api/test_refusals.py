"""Everything that can be asked wrongly: what is answered says where and what to do, and nothing changes."""

import pytest

from tests.api.conftest import HELLO, SMALLEST, WORKSPACE

S = SMALLEST
SCHEDULER = f"{HELLO}/components/scheduler"
KEY = f"{HELLO}/variables/KEY"
NEW = f"{WORKSPACE}/deployments/new"
DEEP = {"a": None}
for _ in range(300):
    DEEP = {"a": DEEP}

DOCUMENTS = [  # method, path, document, status, pointer
    ("PUT", NEW, {"dags_folder": "/srv"}, 422, "/airflow_version"),
    ("PUT", NEW, {"airflow_version": "3.3.2"}, 422, "/dags_folder"),
    ("PUT", NEW, S | {"airflow_version": 3.3}, 422, "/airflow_version"),
    ("PUT", NEW, S | {"airflow_version": "1.0"}, 422, "/airflow_version"),
    ("PUT", NEW, S | {"executor": "MagicExecutor"}, 422, "/executor"),
    ("PUT", NEW, S | {"cluster": "moon"}, 422, "/cluster"),
    ("PUT", NEW, S | {"dags_folder": "dags"}, 422, "/dags_folder"),
    ("PUT", NEW, S | {"dags_folder": "/a\nb"}, 422, "/dags_folder"),
    ("PUT", NEW, S | {"colour": "red"}, 422, "/colour"),
    ("PUT", NEW, S | {"a/b~c": 1}, 422, "/a~1b~0c"),
    ("PUT", NEW, S | {"workspace": "other"}, 422, "/workspace"),
    ("PUT", NEW, S | {"name": "other"}, 422, "/name"),
    ("PUT", NEW, S | {"name": "Not A Name"}, 422, "/name"),
    ("PUT", NEW, S | DEEP, 422, ""),
    ("PUT", NEW, S | {"variables": {"A": {"value": "nul \u0000"}}}, 422, ...),
    ("PUT", NEW, S | {"variables": {"A": {"value": "half \ud800"}}}, 422, ...),
    ("PUT", f"{WORKSPACE}/deployments/Not_A_Name", S, 422, ...),
    ("PUT", f"{WORKSPACE}/deployments/{'a' * 30}", S, 422, ...),
    ("PUT", f"{WORKSPACE}/deployments/{'a' * 300}", S, 404, None),
    ("PUT", "/v1/workspaces/Not_A_Name", {}, 422, ...),
    ("PUT", WORKSPACE, {"description": 1}, 422, "/description"),
    ("PUT", WORKSPACE, {"description": "x" * 1001}, 422, "/description"),
    ("PUT", WORKSPACE, {"colour": "red"}, 422, "/colour"),
    ("PATCH", WORKSPACE, {"name": "other"}, 422, "/name"),
    ("PATCH", HELLO, {"hibernated": "yes"}, 422, "/hibernated"),
    ("PATCH", HELLO, {"hibernated": 1}, 422, "/hibernated"),
    ("PATCH", HELLO, {"drift_policy": "ignore"}, 422, "/drift_policy"),
    ("PATCH", HELLO, {"paused_until": "soon"}, 422, "/paused_until"),
    ("PATCH", HELLO, {"paused_until": "2030-01-01T00:00:00"}, 422, "/paused_until"),
    ("PATCH", HELLO, {"paused_until": 1893456000}, 422, "/paused_until"),
    ("PATCH", HELLO, {"paused_until": "2030-01-01T00:00:00Z"}, 422, "/pause_reason"),
    ("PATCH", HELLO, {"restarted_at": True}, 422, "/restarted_at"),
    ("PATCH", HELLO, {"release": "mine"}, 422, "/release"),
    ("PATCH", HELLO, {"cluster": "moon"}, 422, "/cluster"),
    ("PATCH", HELLO, {"airflow_version": None}, 422, "/airflow_version"),
    ("PATCH", HELLO, {"components": []}, 422, "/components"),
    ("PATCH", HELLO, {"components": {"worker": {}}}, 422, "/components/worker"),
    ("PATCH", HELLO, {"components": {"scheduler": {"replicas": 2}}}, 422, "/components/scheduler/replicas"),
    ("PATCH", HELLO, {"components": {"scheduler": {"replicas": 1.0}}}, 422, "/components/scheduler/replicas"),
    ("PATCH", HELLO, {"components": {"scheduler": {"replicas": "1"}}}, 422, "/components/scheduler/replicas"),
    ("PATCH", HELLO, {"components": {"scheduler": {"replicas": -1}}}, 422, "/components/scheduler/replicas"),
    ("PATCH", HELLO, {"components": {"scheduler": {"replica": 1}}}, 422, "/components/scheduler/replica"),
    ("PATCH", HELLO, {"components": {"scheduler": {"memory_mib": 1}}}, 422, "/components/scheduler/memory_mib"),
    ("PATCH", HELLO, {"variables": {"not a key": {"value": "x"}}}, 422, "/variables/not a key"),
    ("PATCH", HELLO, {"variables": {"A": "x"}}, 422, "/variables/A"),
    ("PATCH", HELLO, {"variables": {"A": {"value": 1}}}, 422, "/variables/A/value"),
    ("PATCH", HELLO, {"variables": {"A": {"value": "x" * 131073}}}, 422, "/variables/A/value"),
    ("PATCH", HELLO, {"variables": {"A": {"secret": True}}}, 422, "/variables/A/value"),
    ("PATCH", HELLO, {"variables": {"AIRFLOW__CORE__FERNET_KEY": {"value": "x"}}}, 422, ...),
    ("PATCH", SCHEDULER, {"replicas": 7}, 422, "/replicas"),
    ("PATCH", SCHEDULER, {"settings": {"parallelism": "many"}}, 422, "/settings/parallelism"),
    ("PATCH", SCHEDULER, {"settings": {"parallelism": [1]}}, 422, ...),
    ("PATCH", SCHEDULER, {"settings": {"magic": 1}}, 422, "/settings/magic"),
    ("PATCH", f"{HELLO}/components/worker", {"replicas": 1}, 404, None),
    ("PUT", KEY, {"value": 1}, 422, "/value"),
    ("PUT", KEY, {}, 422, "/value"),
    ("PUT", KEY, {"value": "x", "components": ["nobody"]}, 422, "/components"),
    ("PUT", f"{HELLO}/variables/not%20a%20key", {"value": "x"}, 422, ...),
    ("PUT", f"{HELLO}/variables/A%00B", {"value": "x"}, 404, None),
    ("DELETE", KEY, None, 404, None),
    ("PATCH", NEW, {"hibernated": True}, 404, None),
    ("DELETE", NEW, None, 404, None),
    ("GET", NEW, None, 404, None),
    ("GET", f"{NEW}/status", None, 404, None),
    ("GET", f"{NEW}/events", None, 404, None),
    ("GET", f"{NEW}/plan", None, 404, None),
    ("GET", f"{NEW}/why", None, 404, None),
    ("GET", f"{NEW}/login", None, 404, None),
    ("GET", f"{NEW}/logs/scheduler", None, 404, None),
    ("GET", f"{HELLO}/logs/scheduler", None, 404, None),
    ("GET", f"{HELLO}/logs/..%2F..%2Fetc%2Fpasswd", None, 404, None),
    ("GET", f"{HELLO}/login", None, 409, None),
    ("GET", f"{HELLO}/events?limit=0", None, 400, None),
    ("GET", f"{HELLO}/events?limit=1001", None, 400, None),
    ("GET", f"{HELLO}/events?limit=many", None, 400, None),
    ("GET", f"{HELLO}/events?after=-1", None, 400, None),
    ("GET", f"{HELLO}/events?limt=5", None, 400, None),
    ("GET", f"{HELLO}/revisions?limit=1001", None, 400, None),
    ("GET", f"{HELLO}/logs/scheduler?tail=10001", None, 400, None),
    ("GET", f"{HELLO}/logs/scheduler?follow=maybe", None, 400, None),
    ("GET", f"{HELLO}/logs", None, 400, None),
    ("GET", "/v1/workspaces/none", None, 404, None),
    ("GET", "/v1/workspaces/none/deployments", None, 404, None),
    ("GET", "/v1/nothing", None, 404, None),
    ("GET", "/v1/workspaces/", None, 404, None),
    ("GET", "/", None, 404, None),
    ("POST", HELLO, {}, 405, None),
    ("PUT", f"{HELLO}/status", {}, 405, None),
    ("DELETE", "/v1/deployments", None, 405, None),
]

BODIES = [  # body, headers, status
    (b"", {}, 400),
    (b"{", {}, 400),
    (b'{"hibernated": NaN}', {}, 400),
    (b'{"hibernated": true, "hibernated": false}', {}, 400),
    (b'{"restarted_at": ' + b"9" * 5000 + b"}", {}, 400),
    (b"\xff\xfe", {}, 400),
    (b"[" * 100_000, {}, 400),
    (b"[]", {}, 422),
    (b"null", {}, 422),
    (b'"text"', {}, 422),
    (b'[{"op": "remove", "path": "/variables"}]', {"Content_Type": "application/json-patch+json"}, 415),
    (b'{"pause_reason": "' + b"x" * 262_144 + b'"}', {}, 413),
    (b'{"hibernated": true}', {"If_Match": "yesterday"}, 400),
    (b'{"hibernated": true}', {"If_Match": '"1", "2"'}, 400),
    (b'{"hibernated": true}', {"If_None_Match": '"1"'}, 400),
    (b'{"hibernated": true}', {"If_Match": '"1"', "If_None_Match": "*"}, 400),
    (b'{"hibernated": true}', {"If_Match": '"99"'}, 412),
    (b'{"hibernated": true}', {"If_None_Match": "*"}, 412),
]


def _name(case):
    return " ".join(map(str, case))[:90].encode("ascii", "replace").decode()


@pytest.fixture(scope="module")
def database_url(make_database, template_database):
    """One database for all of these: nothing that is refused may change it."""
    with make_database(template_database) as url:
        yield url


@pytest.mark.parametrize("case", DOCUMENTS, ids=_name)
async def test_what_cannot_be_is_refused_and_changes_nothing(api, hello, everything, case):
    method, path, document, status, pointer = case
    before = everything()

    refused = await api(method, path, document)

    assert refused.status == status, refused
    assert refused.json["request_id"] == refused.headers["X-Request-Id"]
    if pointer is not ...:
        assert refused.json.get("pointer") == pointer
    assert everything() == before


@pytest.mark.parametrize("case", BODIES, ids=_name)
async def test_a_body_that_cannot_be_read_is_refused_and_changes_nothing(api, hello, everything, case):
    body, headers, status = case
    before = everything()

    refused = await api("PATCH", HELLO, body=body, **headers)

    assert refused.status == status, refused
    assert refused.json["hint"]
    assert everything() == before


async def test_hints_list_what_there_is(api, hello):
    unknown = await api.patch(HELLO, {"components": {"scheduler": {"replica": 1}}})
    version = await api.patch(HELLO, {"airflow_version": "1.0"})
    method = await api("POST", HELLO, {})

    assert "replicas, cpu_millicores, memory_mib" in unknown.json["hint"]
    assert "3.3.2" in version.json["hint"]
    assert method.headers["Allow"] == "DELETE, GET, PATCH, PUT"


async def test_several_mistakes_are_counted(api, hello):
    refused = await api.patch(HELLO, {"hibernated": 1, "drift_policy": 2, "colour": "red"})

    assert "2 more" in refused.json["detail"]


async def test_a_guard_refuses_in_its_own_words(api, hello):
    refused = await api.delete(WORKSPACE)

    assert (refused.status, refused.json["title"]) == (409, "Refused")
    assert "hello" in refused.json["detail"]
