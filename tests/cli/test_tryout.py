"""The try-out: what it asks of an Airflow, and what it says when the DAG does not work."""

from types import SimpleNamespace

import pytest

from cli import tryout
from cli.airflow import Airflow
from cli.errors import Failed, TimedOut
from tests.cli.conftest import answer


@pytest.fixture
async def airflow(serve, monkeypatch):
    """A logged-in client of an API that answers like Airflow's, and what that API knows."""
    world = SimpleNamespace(
        busy=2, known_after=1, runs={}, state="success", log=["Hello from Armillary: hi"], errors=[]
    )

    async def handler(request):
        path, method = request.path, request.method
        if path == "/auth/token":
            login = await request.json()
            assert login == {"username": "admin", "password": "pw"}
            return answer(201, {"access_token": "jwt"})
        assert request.headers["Authorization"] == "Bearer jwt"
        if world.busy:
            world.busy -= 1
            return answer(503, {})
        if path == "/api/v2/importErrors":
            return answer(200, {"import_errors": world.errors})
        if path.endswith("/dagRuns") and method == "GET":
            return answer(200, {"dag_runs": [{"dag_run_id": run} for run in world.runs]})
        if path.endswith("/dagRuns"):
            world.runs[(await request.json())["dag_run_id"]] = "queued"
            world.busy = 1  # the answer to the next question is lost
            return answer(200, {})
        if "/logs/" in path:
            return answer(200, {"content": [{"event": "::group::"}, *({"event": line} for line in world.log)]})
        if "/dagRuns/" in path:
            return answer(200, {"state": world.state})
        world.known_after -= 1
        return answer(404 if world.known_after >= 0 and method == "GET" else 200, {})

    monkeypatch.setattr(tryout, "LOG_SECONDS", 1.0)
    monkeypatch.setattr(tryout, "PARSED_SECONDS", 3.0)
    async with Airflow(await serve(handler), "admin", "pw") as client:
        client.world = world
        yield client


async def test_a_fresh_dag_is_unpaused_run_once_and_its_line_read(airflow):
    said = []

    proof = await tryout.try_out(airflow, said.append)

    assert proof == tryout.Proof(run=next(iter(airflow.world.runs)), line="Hello from Armillary: hi", is_new=True)
    assert len(airflow.world.runs) == 1
    assert proof.run in said[0]


async def test_a_dag_that_succeeded_before_is_not_run_again(airflow):
    airflow.world.runs["before"] = "success"

    proof = await tryout.try_out(airflow, lambda _: None)

    assert (proof.run, proof.is_new) == ("before", False)
    assert list(airflow.world.runs) == ["before"]


async def test_a_failed_run_is_an_error_with_its_log(airflow):
    airflow.world.state = "failed"
    airflow.world.log = ["Traceback", "ValueError: no"]

    with pytest.raises(Failed) as caught:
        await tryout.try_out(airflow, lambda _: None)

    assert caught.value.lines[-1] == "ValueError: no"


async def test_a_dag_that_is_never_parsed_is_explained_by_airflows_import_errors(airflow):
    airflow.world.known_after = 10_000
    airflow.world.errors = [{"filename": "hello_armillary.py", "stack_trace": "SyntaxError: x"}]

    with pytest.raises(TimedOut) as caught:
        await tryout.try_out(airflow, lambda _: None)

    assert caught.value.lines == ("hello_armillary.py: SyntaxError: x",)
    assert "dag-processor" in caught.value.todo


async def test_a_wrong_login_is_an_error_that_says_so(serve):
    async def handler(_):
        return answer(401, {"detail": "Invalid credentials"})

    async with Airflow(await serve(handler), "admin", "pw") as airflow:
        with pytest.raises(Failed, match="Invalid credentials"):
            await airflow.import_errors()
