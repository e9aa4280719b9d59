"""Documents are what the API reads and writes: validated, guarded and audited by SQL."""

import asyncio
from datetime import UTC, datetime

import pytest

from model.names import Owner
from model.status import Condition, Event, Reason, Record, Status
from state.desired import Desired
from state.errors import GenerationConflict, InvalidSpec, NotFound, Refused, StateError

SPEC = {"airflow_version": "3.3.2", "dags_folder": "/srv/dags"}
WHO = "alice"


@pytest.fixture
async def desired(database):
    desired = Desired(database)
    await desired.put_workspace("demo", {}, actor=WHO)
    return desired


@pytest.fixture
async def hello(desired):
    return await desired.put_deployment("demo", "hello", SPEC, actor=WHO)


async def test_a_new_deployment_is_complete(desired, hello):
    assert (hello["workspace"], hello["name"], hello["release"]) == ("demo", "hello", "demo-hello")
    assert hello["generation"] == 1
    assert set(hello["components"]) == {"api-server", "scheduler", "dag-processor", "triggerer"}
    assert await desired.get_deployment("demo", "hello") == hello
    assert await desired.list_deployments() == await desired.list_deployments("demo") == [hello]


async def test_the_same_document_twice_changes_nothing(desired, hello, execute):
    audited = execute("SELECT count(*) FROM core.audit")
    again = await desired.put_deployment("demo", "hello", SPEC, actor=WHO)

    assert again == hello
    assert execute("SELECT count(*) FROM core.audit") == audited


async def test_what_was_read_can_be_written_back_and_changes_nothing(desired, hello):
    variables = {"PLAIN": {"value": "x"}, "HUSH": {"secret": True, "value": "hush-4711"}}
    await desired.put_deployment("demo", "hello", {**SPEC, "variables": variables}, actor=WHO)
    document = await desired.get_deployment("demo", "hello")
    again = await desired.put_deployment("demo", "hello", document, actor=WHO)

    assert "hush-4711" not in str(document)
    assert again == document


async def test_a_change_is_a_new_generation_a_revision_and_says_who(desired, hello, execute):
    changed = await desired.put_deployment("demo", "hello", {**SPEC, "dags_folder": "/srv/more"}, actor="bob")
    revisions = await desired.revisions("demo", "hello")
    (who,) = execute("SELECT actor FROM core.audit WHERE relation = 'deployments' ORDER BY id DESC LIMIT 1")

    assert changed["generation"] == 2
    assert [(one["revision"], one["actor"]) for one in revisions] == [(2, "bob"), (1, WHO)]
    assert revisions[1]["spec"]["dags_folder"] == "/srv/dags"
    assert await desired.revisions("demo", "hello", before=2) == revisions[1:]
    assert await desired.revisions("demo", "hello", limit=1) == revisions[:1]
    assert who == ("bob",)


async def test_a_change_of_something_read_before_it_changed_is_a_conflict(desired, hello):
    await desired.put_deployment("demo", "hello", {**SPEC, "dags_folder": "/a"}, actor=WHO, expected_generation=1)
    with pytest.raises(GenerationConflict):
        await desired.put_deployment(
            "demo", "hello", {**SPEC, "dags_folder": "/b"}, actor=WHO, expected_generation=1
        )

    assert (await desired.get_deployment("demo", "hello"))["dags_folder"] == "/a"


async def test_of_two_changes_at_once_of_what_both_read_one_is_a_conflict(desired, hello):
    answers = await asyncio.gather(
        *(
            desired.put_deployment(
                "demo", "hello", {**SPEC, "dags_folder": f"/{one}"}, actor=WHO, expected_generation=1
            )
            for one in range(2)
        ),
        return_exceptions=True,
    )

    assert sorted(type(one).__name__ for one in answers) == ["GenerationConflict", "dict"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"airflow_version": "1.0"}, "/airflow_version"),
        ({"colour": "blue"}, "/colour"),
        ({"dags_folder": 7}, "/dags_folder"),
        ({"components": {"scheduler": {"replicas": 9}}}, "/components/scheduler/replicas"),
        ({"components": {"worker": {}}}, "/components/worker"),
        ({"variables": {"AIRFLOW__CORE__FERNET_KEY": {"value": "x"}}}, "/variables/AIRFLOW__CORE__FERNET_KEY"),
    ],
)
async def test_what_cannot_be_is_told_with_its_place(desired, hello, change, pointer):
    with pytest.raises(InvalidSpec) as caught:
        await desired.put_deployment("demo", "hello", {**SPEC, **change}, actor=WHO)

    assert caught.value.pointer == pointer
    assert await desired.get_deployment("demo", "hello") == hello


async def test_a_secret_is_in_no_error_that_it_causes(desired, hello):
    variables = {"HUSH": {"secret": True, "value": "hush-4711", "colour": "blue"}}
    with pytest.raises(StateError) as caught:
        await desired.put_deployment("demo", "hello", {**SPEC, "variables": variables}, actor=WHO)

    error = caught.value
    assert "hush-4711" not in f"{error}{error!r}{error.__cause__!r}{getattr(error, 'detail', '')}"


async def test_what_does_not_exist_is_not_found(desired):
    for question in (
        desired.get_deployment("demo", "nobody"),
        desired.status("demo", "nobody"),
        desired.events("demo", "nobody"),
        desired.revisions("demo", "nobody"),
        desired.why("demo", "nobody"),
        desired.owner("demo", "nobody"),
        desired.delete_deployment("demo", "nobody", actor=WHO),
        desired.get_workspace("nobody"),
        desired.put_deployment("nobody", "hello", SPEC, actor=WHO),
    ):
        with pytest.raises(NotFound):
            await question


async def test_a_deletion_can_be_taken_back(desired, hello):
    deleted = await desired.delete_deployment("demo", "hello", actor=WHO)
    undeleted = await desired.put_deployment(
        "demo", "hello", {**deleted, "deletion_requested_at": None}, actor=WHO
    )

    assert deleted["deletion_requested_at"] is not None
    assert undeleted["deletion_requested_at"] is None
    assert undeleted["release"] == hello["release"]


async def test_a_workspace_with_deployments_is_not_removed(desired, hello):
    with pytest.raises(Refused, match="hello"):
        await desired.delete_workspace("demo", actor=WHO)

    assert [one["name"] for one in await desired.list_workspaces()] == ["demo"]


async def test_a_deployment_that_was_never_looked_at_says_so(desired, hello):
    status = await desired.status("demo", "hello")

    assert (status["generation"], status["observed_generation"], status["conditions"]) == (1, None, [])
    assert status["addresses"] == {"airflow": "http://127.0.0.1:20000"}
    assert (await desired.why("demo", "hello"))["why"] == "It was not looked at yet."
    assert [one["name"] for one in await desired.unwell()] == ["hello"]


async def test_status_events_and_reasons_are_what_the_daemon_recorded(desired, hello, store):
    owner = await desired.owner("demo", "hello")
    since = datetime(2026, 1, 2, tzinfo=UTC)
    synced = Condition(type="Synced", status="True", reason=Reason.CONVERGED, message="Converged.", since=since)
    ready = Condition(type="Ready", status="False", reason=Reason.NOT_HEALTHY, message="It is down.", since=since)
    await store.record(
        Record(
            owner=owner,
            epoch=1,
            status=Status(observed_generation=1, conditions=(synced, ready)),
            events=tuple(Event(reason="Said", message=str(one)) for one in range(5)),
        )
    )
    status = await desired.status("demo", "hello")
    newest = await desired.events("demo", "hello", limit=2)
    events = await desired.events("demo", "hello", after=0, limit=2)
    more = await desired.events("demo", "hello", after=events[-1]["id"])
    (unwell,) = await desired.unwell()

    assert {one["type"]: one["status"] for one in status["conditions"]} == {"Synced": "True", "Ready": "False"}
    assert status["observed_generation"] == 1
    assert await desired.list_statuses() == [status]
    assert [one["message"] for one in newest] == ["3", "4"]
    assert [one["message"] for one in events + more] == ["0", "1", "2", "3", "4"]
    assert (await desired.why("demo", "hello"))["why"] == "Ready is False (NotHealthy): It is down."
    assert (unwell["type"], unwell["reason"]) == ("Ready", "NotHealthy")
    assert datetime.fromisoformat(unwell["since"]) == since


async def test_the_newest_version_of_a_secret_is_known(desired, hello, store):
    owner = await desired.owner("demo", "hello")
    assert await desired.secret_version("demo", "hello", "admin-password") is None
    minted = await store.secrets.mint(owner, {"admin-password": "hush-4711"})

    assert await desired.secret_version("demo", "hello", "admin-password") == minted["admin-password"]


async def test_a_note_is_an_event(desired, hello):
    await desired.note("demo", "hello", reason="LoginRevealed", message="alice read the admin login")

    assert [one["reason"] for one in await desired.events("demo", "hello")] == ["LoginRevealed"]


async def test_an_owner_is_named_by_its_id(desired, hello, execute):
    ((identifier,),) = execute("SELECT id FROM core.deployments")

    assert await desired.owner("demo", "hello") == Owner("deployment", str(identifier))


async def test_names_with_a_nul_character_are_refused_as_what_they_are(desired):
    with pytest.raises((InvalidSpec, NotFound)):
        await desired.get_deployment("demo", "hel\0lo")
