"""The application as a whole: who may ask, what it says about itself, and that it describes what it serves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from api.app import ALL_ROUTES
from api.openapi import openapi
from tests.api.conftest import HELLO, SMALLEST, WORKSPACE

PUBLIC = {"/healthz", "/readyz", "/metrics"}


def filled(path):
    names = {
        "cluster": "local",
        "email": "ann@example.org",
        "workspace": "demo",
        "deployment": "hello",
        "component": "scheduler",
        "variable": "A",
        "unit": "u",
    }
    return path.format(**names)


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer wrong", "Bearer arm_wrong"]
)
async def test_nobody_gets_in_without_a_token_that_is_known(api, header):
    headers = {} if header is None else {"Authorization": header}

    refused = await api("PUT", WORKSPACE, {}, token="", **headers)

    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.json["hint"]
    assert (await api.get("/v1/workspaces")).json == []


async def test_every_route_but_the_probes_needs_a_token(api):
    answers = {
        (route.method, route.path): (await api(route.method, filled(route.path), token="")).status
        for route in ALL_ROUTES
    }

    assert {path for (_, path), status in answers.items() if status != 401} == PUBLIC


async def test_strangers_do_not_learn_which_paths_there_are(api):
    assert (await api.get("/v1/nothing", token="")).status == 401


async def test_a_revoked_token_is_refused(api, execute, database):
    execute("UPDATE core.tokens SET revoked_at = now()")

    assert (await api.get("/v1/workspaces")).status == 401


async def test_the_scheme_is_read_in_any_case(api):
    found = await api.get("/v1/workspaces", token="", Authorization=f"bearer {api.token}")

    assert found.status == 200


async def test_a_process_that_answers_is_healthy_whatever_its_work_does(api, engine):
    engine.said = replace(engine.said, listening=False, leading=False)

    assert (await api.get("/healthz", token="")).status == 200


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"listening": False}, "not heard"),
        ({"leading": False}, "lease"),
        (
            {
                "started_at": datetime.now(UTC) - timedelta(seconds=90),
                "queue_depth": 2,
                "oldest_waiting_seconds": 90.0,
            },
            "2 deployments wait",
        ),
    ],
)
async def test_a_daemon_that_does_not_work_is_not_ready_and_says_why(api, engine, change, told):
    ready = await api.get("/readyz", token="")
    engine.said = replace(engine.said, **change)

    behind = await api.get("/readyz", token="")

    assert (ready.status, ready.json) == (200, {"status": "ok", "reasons": []})
    assert behind.status == 503
    assert told in behind.json["reasons"][0]


async def test_metrics_hold_the_daemons_and_the_apis_own(api, engine):
    engine.passes.labels("done").inc()
    await api.put(WORKSPACE, {})
    await api.get("/v1/a-path-that-is-not-there")

    text = (await api.get("/metrics", token="")).text

    assert 'armillary_passes_total{result="done"} 1.0' in text
    assert 'armillary_api_requests_total{method="PUT",route="/v1/workspaces/{workspace}",status="201"} 1.0' in text
    assert 'route="none",status="404"' in text
    assert "a-path-that-is-not-there" not in text


async def test_every_answer_carries_the_requests_name(api):
    given = await api.get("/healthz", token="", X_Request_Id="abc-1")
    forged = await api.get("/healthz", token="", X_Request_Id="a b")

    assert given.headers["X-Request-Id"] == "abc-1"
    assert len(forged.headers["X-Request-Id"]) == 32


async def test_an_error_nobody_foresaw_is_a_problem_that_tells_nothing(api, engine, hello, capsys):
    engine.plan = ZeroDivisionError("canary")

    broken = await api.get(f"{HELLO}/plan")

    output = capsys.readouterr()
    assert (broken.status, "canary" in broken.text) == (500, False)
    assert broken.json["request_id"] in broken.json["hint"]
    assert "ZeroDivisionError" in output.out + output.err
    assert "canary" not in output.out + output.err


async def test_a_store_that_does_not_answer_is_unavailable_and_comes_back(api, hello, postgres_url, execute):
    ((name,),) = execute("SELECT current_database()")
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        away = await api.get(HELLO)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    assert (away.status, away.headers["Retry-After"]) == (503, "2")
    assert (await api.get("/healthz", token="")).status == 200
    assert (await api.get(HELLO)).json == hello


async def test_the_document_describes_every_route_and_no_other(api):
    document = (await api.get("/openapi.json")).json
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = {
        (route.method, route.resource.canonical)
        for route in api.client.server.app.router.routes()
        if route.resource is not None
    }

    assert document["openapi"] == "3.1.0"
    assert described == served


def test_the_document_refers_to_nothing_that_is_not_in_it():
    document = openapi(ALL_ROUTES)
    text = str(document)

    for reference in {part.partition("'")[0] for part in text.split("'$ref': '")[1:]}:
        found = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
        assert found
    identifiers = [one["operationId"] for item in document["paths"].values() for one in item.values()]
    assert len(set(identifiers)) == len(identifiers) == len(ALL_ROUTES)
    assert all(
        one["summary"] and one["description"] for item in document["paths"].values() for one in item.values()
    )


def test_every_member_that_people_write_is_explained():
    schemas = openapi(ALL_ROUTES)["components"]["schemas"]

    for name in ("Workspace", "Deployment", "Component", "Variable"):
        unexplained = [key for key, one in schemas[name]["properties"].items() if not one.get("description")]
        assert unexplained == []
        assert schemas[name]["examples"]
        assert schemas[name]["additionalProperties"] is False


async def test_the_examples_in_the_document_can_be_sent(api):
    schemas = openapi(ALL_ROUTES)["components"]["schemas"]

    await api.put(WORKSPACE, schemas["Workspace"]["examples"][0])
    made = await api.put(HELLO, schemas["Deployment"]["examples"][0])
    component = await api.patch(f"{HELLO}/components/scheduler", schemas["Component"]["examples"][0])
    variable = await api.put(f"{HELLO}/variables/A", schemas["Variable"]["examples"][0])

    assert [one.status for one in (made, component, variable)] == [201, 200, 201]
    assert set(SMALLEST) <= set(made.json)
