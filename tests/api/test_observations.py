"""What is known about a deployment, as the daemon recorded it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from drivers.base import Unavailable, Usage
from model.names import Owner, Ref
from model.objects import Object
from model.plan import Cause, Create, Delete, Held, Plan, Waiting
from model.status import Condition, Event, Reason, Record, Status, UnitStatus
from model.units import Need
from state.errors import Unreachable
from state.keyring import Keyring
from state.store import Store
from tests.api.conftest import HELLO, SMALLEST, WORKSPACE

NOW = datetime.now(UTC)


@pytest.fixture
async def record(database):
    """Records what a pass of demo/hello concluded, as the daemon does."""
    store = Store(database, Keyring.in_memory())

    async def write(**parts):
        await store.record(Record(owner=Owner("deployment", "1"), epoch=1, **parts))

    yield write
    await store.close()


def status_of(*, reason=Reason.TASK_FAILED, truth="False", kind="Ready", seconds=0.0, generation=1):
    since = NOW - timedelta(seconds=seconds)
    condition = Condition(type=kind, status=truth, reason=reason, message="migrate: it ended with 1", since=since)
    unit = UnitStatus(unit="migrate", component="migrate", state="failed", detail="it ended with 1")
    return Status(observed_generation=generation, conditions=(condition,), units=(unit,), attempts=2)


async def test_a_new_deployment_was_never_looked_at_and_has_an_address(api, hello):
    found = (await api.get(f"{HELLO}/status")).json

    assert (found["generation"], found["observed_generation"]) == (1, None)
    assert found["addresses"] == {"airflow": "http://127.0.0.1:20000"}
    assert (await api.get(f"{HELLO}/why")).json["why"]


async def test_status_says_what_the_daemon_recorded(api, hello, record):
    await record(status=status_of())

    found = (await api.get(f"{HELLO}/status")).json
    told = (await api.get(f"{HELLO}/why")).json

    assert (found["observed_generation"], found["attempts"], found["stage"]) == (1, 2, "active")
    assert found["conditions"][0]["reason"] == "TaskFailed"
    assert found["units"] == [
        {"unit": "migrate", "component": "migrate", "state": "failed", "detail": "it ended with 1"}
    ]
    assert "it ended with 1" in told["why"]
    assert any("migrate is failed" in line for line in told["lines"])


async def test_events_are_read_from_the_newest_or_after_one(api, hello, record):
    await record(events=tuple(Event(reason="Tried", message=f"number {n}", cause=Cause.RETRY) for n in range(5)))

    newest = (await api.get(f"{HELLO}/events?limit=2")).json
    after = (await api.get(f"{HELLO}/events?after={newest[0]['id']}")).json
    every = (await api.get(f"{HELLO}/events")).json

    assert [one["message"] for one in newest] == ["number 3", "number 4"]
    assert [one["message"] for one in after] == ["number 4"]
    assert [one["message"] for one in every] == [f"number {n}" for n in range(5)]


async def test_revisions_are_complete_documents_that_can_be_put_again(api, hello):
    await api.patch(HELLO, {"hibernated": True})
    newest, oldest = (await api.get(f"{HELLO}/revisions")).json

    restored = await api.put(HELLO, oldest["spec"])

    assert (newest["revision"], oldest["revision"]) == (2, 1)
    assert restored.json == hello | {"generation": 3}
    assert [one["revision"] for one in (await api.get(f"{HELLO}/revisions?before=3&limit=1")).json] == [2]


async def test_a_plan_says_what_would_be_done_and_why_and_shows_no_bodies(api, hello, engine, everything):
    made = Object(ref=Ref("Process", "demo-hello.scheduler-0"), unit="scheduler", digest="d", body="canary-body")
    create = Create(object=made, cause=Cause.GENERATION, why="it is not there")
    engine.plan = Plan(
        now=(create, Delete(ref=Ref("Files", "x"), unit="old", cause=Cause.ORPHAN, why="nobody wants it")),
        later=(
            Waiting(
                ref=made.ref,
                unit="scheduler",
                why="it needs migrate",
                action=create,
                unmet=(Need(unit="migrate", state="done"),),
            ),
        ),
        held=(Held(ref=Ref("Database", "demo-hello"), unit="database", why="its data vanished"),),
    )
    before = everything()

    found = await api.get(f"{HELLO}/plan")

    assert engine.asked == [Owner("deployment", "1")]
    assert [(one["action"], one["cause"]) for one in found.json["now"]] == [
        ("Create", "generation"),
        ("Delete", "orphan"),
    ]
    assert found.json["later"][0]["needs"] == ["migrate done"]
    assert found.json["held"][0]["why"] == "its data vanished"
    assert "canary-body" not in found.text
    assert everything() == before


@pytest.mark.parametrize("error", [Unreachable("nobody answers"), Unavailable("no socket")])
async def test_a_plan_that_cannot_be_made_now_says_so_and_when_to_ask_again(api, hello, engine, error):
    engine.plan = error

    found = await api.get(f"{HELLO}/plan")

    assert (found.status, found.headers["Retry-After"]) == (503, "2")
    assert found.json["detail"] == str(error)


async def test_the_login_is_shown_to_who_asks_and_that_is_an_event(api, hello, secrets):
    early = await api.get(f"{HELLO}/login")
    await secrets.mint(Owner("deployment", "1"), {"admin-password": "canary-password"})

    found = await api.get(f"{HELLO}/login")
    events = await api.get(f"{HELLO}/events")

    assert (early.status, found.status, found.headers["Cache-Control"]) == (409, 200, "no-store")
    assert found.json == {"username": "admin", "password": "canary-password", "url": "http://127.0.0.1:20000"}
    assert [one["reason"] for one in events.json] == ["LoginShown"]
    assert "ann" in events.json[0]["message"]
    assert "canary-password" not in events.text


async def test_alerts_tell_what_is_wrong_across_the_fleet(api, hello, record, engine):
    await record(status=status_of())
    engine.said = replace(engine.said, listening=False)

    daemon, failed = (await api.get("/v1/alerts")).json

    assert (daemon["name"], daemon["deployment"], daemon["severity"]) == ("DaemonNotProgressing", None, "critical")
    assert (failed["name"], failed["deployment"]) == ("TaskFailed", "demo/hello")
    assert failed["since"] == NOW.isoformat()
    assert "/logs/migrate" in failed["what_to_do"]


async def test_what_is_wrong_with_a_deployment_names_who_is_to_be_told(api, hello, record):
    await record(status=status_of())
    untold = (await api.get("/v1/alerts")).json
    for email in ("bob@example.org", "ann@example.org"):
        await api("PUT", f"{HELLO}/alert-emails/{email}")
    told = (await api.get("/v1/alerts")).json

    assert [one["emails"] for one in untold] == [[]]
    assert [one["emails"] for one in told] == [["ann@example.org", "bob@example.org"]]


async def test_a_well_fleet_and_a_hibernated_one_have_no_alerts(api, hello, record):
    await record(status=status_of(reason=Reason.STOPPED, seconds=86400))

    assert (await api.get("/v1/alerts")).json == []


async def test_a_reason_of_a_newer_daemon_is_told_when_it_lasts(api, hello, record, execute):
    await record(status=status_of(seconds=3600))
    execute("UPDATE core.conditions SET reason = 'NotInventedYet'")

    assert [one["name"] for one in (await api.get("/v1/alerts")).json] == ["NotReady"]


async def test_a_log_that_cannot_be_read_now_may_be_asked_for_again(api, hello, logs, tmp_path):
    logs["demo-hello"] = {"scheduler": tmp_path / "not-there-any-more"}

    gone = await api.get(f"{HELLO}/logs/scheduler")
    followed = await api.get(f"{HELLO}/logs/scheduler?follow=true")

    assert (gone.status, followed.status) == (503, 503)


async def test_the_end_of_a_log_is_shown_as_text_and_as_json(api, hello, logs, tmp_path):
    log = tmp_path / "output.log"
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(500)) + b"\xff last")
    logs["demo-hello"] = {"scheduler": log}

    text = await api.get(f"{HELLO}/logs?unit=scheduler&lines=2")
    async with api.client.get(
        f"{HELLO}/logs/scheduler?tail=2", headers={"Authorization": f"Bearer {api.token}"}
    ) as plain:
        body = await plain.read()

    assert body == b"line 499\n\xff last"
    assert text.json == {"unit": "scheduler", "lines": ["line 499", "\ufffd last"]}
    assert "scheduler" in (await api.get(f"{HELLO}/logs/nothing")).json["hint"]


async def test_of_a_log_only_what_is_not_too_old_is_shown(api, hello, logs, tmp_path):
    log = tmp_path / "output.log"
    moments = (datetime.now(UTC) - timedelta(seconds=seconds) for seconds in (3600, 60, 1))
    log.write_text("".join(f"{one:%Y-%m-%dT%H:%M:%SZ} line\nrest\n" for one in moments))
    logs["demo-hello"] = {"scheduler": log}

    assert len((await api.get(f"{HELLO}/logs?unit=scheduler&since=600")).json["lines"]) == 4
    assert len((await api.get(f"{HELLO}/logs?unit=scheduler&since=600&lines=1")).json["lines"]) == 1
    assert (await api.get(f"{HELLO}/logs?unit=scheduler&since=0")).status == 400


async def test_a_followed_log_shows_what_comes_until_the_time_is_over(api, hello, logs, tmp_path):
    log = tmp_path / "output.log"
    log.write_text("before\n")
    logs["demo-hello"] = {"scheduler": log}
    headers = {"Authorization": f"Bearer {api.token}"}

    async with api.client.get(f"{HELLO}/logs/scheduler?follow=true&seconds=2", headers=headers) as answer:
        first = await answer.content.readline()
        with log.open("a") as file:
            file.write("appended\n")
        second = await answer.content.readline()
        log.unlink()
        log.write_text("another file\n")
        rest = await answer.content.read()

    assert (first, second, rest) == (b"before\n", b"appended\n", b"another file\n")


async def test_a_client_that_goes_away_ends_its_following(api, hello, logs, tmp_path):
    log = tmp_path / "output.log"
    log.write_text("before\n")
    logs["demo-hello"] = {"scheduler": log}
    headers = {"Authorization": f"Bearer {api.token}"}

    async with api.client.get(f"{HELLO}/logs/scheduler?follow=true", headers=headers) as answer:
        await answer.content.readline()
        answer.close()
    async with asyncio.timeout(10):
        while not (count := await _followed(api)):
            with log.open("a") as file:
                file.write("more\n")
            await asyncio.sleep(0.05)

    assert count == 1


async def _followed(api):
    text = (await api.get("/metrics", token="")).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("armillary_api_requests_total") and "/logs/{unit}" in line
    )


async def test_a_secret_is_in_no_answer_log_or_metric(api, secrets, engine, capsys):
    canary = "canary-8f1e-secret"
    variable = {"secret": True, "value": canary}
    await api.put(WORKSPACE, {})
    await api.put(HELLO, SMALLEST | {"variables": {"KEY": variable}})
    await secrets.seal_inbox()
    await api.put(HELLO, SMALLEST | {"variables": {"KEY": variable | {"value": canary + "2"}}})
    await api.put(f"{HELLO}/variables/KEY", variable)
    await api.patch(HELLO, {"variables": {"KEY": {"value": canary}}})
    wrong = [
        {"variables": {"KEY": variable | {"wrong": canary}}},
        {"variables": {"KEY": variable | {"components": ["nobody"]}}},
        {"variables": {"KEY": variable | {"value": canary * 10_000}}},
        {"variables": {"KEY": variable | {"value": canary + "\u0000"}}},
        {"variables": {"KEY": {"secret": "yes", "value": canary}}},
        {"variables": {"KEY": {"secret": True, "value": [canary]}}},
        {"variables": {"AIRFLOW_HOME": variable}},
        {"variables": canary},
    ]
    refused = [(await api.patch(HELLO, one)).status for one in wrong]
    cut = await api("PATCH", HELLO, body=json.dumps(wrong[0])[:-3].encode())
    for path in (
        "",
        "/variables",
        "/variables/KEY",
        "/events",
        "/revisions",
        "/status",
        "/why",
        "/plan",
        "/login",
    ):
        await api.get(HELLO + path)
    for path in ("/v1/alerts", "/metrics", "/readyz", "/v1/deployments"):
        await api.get(path)

    assert (refused, cut.status) == ([422] * len(wrong), 400)
    assert [one.path for one in api.replies if canary in one.text + str(one.headers)] == []
    output = capsys.readouterr()
    assert "request answered" in output.out + output.err
    assert canary not in output.out + output.err
    assert api.token not in output.out + output.err


async def test_what_a_deployment_uses_is_told_unit_by_unit(api, hello, usages):
    usages["demo-hello"] = {"scheduler": Usage(processes=3, cpu_seconds=1.25, memory_bytes=2**20)}

    found = (await api.get(f"{HELLO}/usage")).json
    later = (await api.get(f"{HELLO}/usage")).json

    assert found["units"] == [
        {"unit": "scheduler", "processes": 3, "cpu_seconds": 1.25, "memory_bytes": 2**20},
    ]
    assert later["seconds"] >= found["seconds"]
    assert (await api.get("/v1/workspaces/demo/deployments/nobody/usage")).status == 404
