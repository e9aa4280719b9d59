"""What must be true once it runs. Every test is on a real Airflow and leaves it settled."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from cli import store
from drivers.local import supervise

from .world import AIRFLOW, DEPLOYMENT, AirflowApi, World, below, kill, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(420)]


def test_what_a_newcomer_sees(settled: World):
    assert set(settled.pids()) == set(AIRFLOW)
    assert "demo/hello" in settled.armillary("status").stdout
    assert settled.http("GET", "/readyz")[0] == 200
    assert settled.http("GET", "/v1/alerts")[1] in ([], {"alerts": []})


@pytest.mark.parametrize("unit", AIRFLOW)
def test_a_killed_airflow_process_is_back_and_nothing_else_restarted(settled: World, unit):
    before = settled.pids()
    kill(before[unit])

    until(f"{unit} to be started again", lambda: settled.pids().get(unit) not in (None, before[unit]))
    until("the kill to be seen", lambda: settled.state(unit).restarts >= 1)
    settled.settle()
    after = settled.pids()
    assert {one: pid for one, pid in after.items() if one != unit} == {
        one: pid for one, pid in before.items() if one != unit
    }


def test_a_killed_postgresql_is_back_and_no_airflow_process_restarted(settled: World):
    before = settled.pids()
    server = supervise.look(settled.home.postgres_run).child_pid
    kill(server)

    until(
        "PostgreSQL to be started again",
        lambda: supervise.look(settled.home.postgres_run).child_pid not in (None, server),
    )
    until("the state database to answer", lambda: _answers(settled), seconds=30)
    settled.settle()
    assert settled.pids() == before


def _answers(world: World) -> bool:
    try:
        world.sql("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_killed_daemon_leaves_airflow_running_and_the_next_one_adopts_it_all(settled: World, slow_dag):
    settled.sql("UPDATE armillary.deployments SET dags_folder = %s", slow_dag)
    settled.settle()
    airflow = settled.airflow()
    airflow.trigger("slow", "through-a-kill")
    until(
        "the task to run", lambda: airflow.task("slow", "through-a-kill", "wait")["state"] == "running", every=0.5
    )
    pids, files, inventory = (
        settled.pids(),
        settled.files(),
        settled.sql("SELECT * FROM core.objects ORDER BY 1, 2, 3"),
    )
    events, daemon = settled.last_event(), supervise.look(settled.home.daemon_run).child_pid

    kill(daemon)

    until("another daemon", lambda: supervise.look(settled.home.daemon_run).child_pid not in (None, daemon))
    until("the API to answer", lambda: _is_ready(settled), seconds=30)
    until("the run to end", lambda: airflow.run("slow", "through-a-kill") in ("success", "failed"), every=0.5)
    settled.settle()
    assert airflow.run("slow", "through-a-kill") == "success"
    assert airflow.task("slow", "through-a-kill", "wait")["try_number"] == 1
    assert settled.pids() == pids
    assert settled.files() == files
    assert settled.sql("SELECT * FROM core.objects ORDER BY 1, 2, 3") == inventory
    assert [one["message"] for one in settled.events(events)] == []


def _is_ready(world: World) -> bool:
    try:
        return world.http("GET", "/readyz")[0] == 200
    except OSError:
        return False


def test_a_second_up_adopts_and_changes_nothing(settled: World):
    pids, generation = settled.pids(), settled.sql("SELECT generation FROM armillary.deployments")

    up = settled.armillary("up", "--detach", "--port", str(settled.port), check=False)

    assert up.returncode == 0, up.stdout + up.stderr
    assert settled.pids() == pids
    assert settled.sql("SELECT generation FROM armillary.deployments") == generation


def test_an_update_in_psql_takes_effect_within_a_second_and_a_patch_does_the_same(settled: World):
    others = {unit: pid for unit, pid in settled.pids().items() if unit != "triggerer"}
    statement = "UPDATE armillary.components SET replicas = 0 WHERE component = 'triggerer'"
    printed = settled.armillary("psql", "-c", statement).stdout
    assert "UPDATE 1" in printed
    until("the triggerer to be stopped", lambda: settled.state("triggerer").condition != "running", seconds=1.0)
    until("the triggerer to be gone", lambda: not settled.state("triggerer").child_pid, seconds=40)

    status, document = settled.http("PATCH", DEPLOYMENT, {"components": {"triggerer": {"replicas": 1}}})

    assert status == 200
    assert document["components"]["triggerer"]["replicas"] == 1
    until("the triggerer to be started", lambda: settled.state("triggerer").child_pid, seconds=2.0)
    settled.settle()
    assert {unit: pid for unit, pid in settled.pids().items() if unit != "triggerer"} == others


def test_a_variable_restarts_exactly_what_reads_it(settled: World):
    before = settled.pids()
    for_one = {"variables": {"POLL": {"value": "1", "components": ["triggerer"]}}}
    settled.http("PATCH", DEPLOYMENT, for_one)
    until(
        "the triggerer to be another", lambda: settled.pids().get("triggerer") not in (None, before["triggerer"])
    )
    settled.settle()
    after = settled.pids()

    assert {unit for unit in AIRFLOW if after[unit] != before[unit]} == {"triggerer"}
    environment = psutil.Process(after["triggerer"]).environ() if sys.platform == "linux" else {"POLL": "1"}
    assert environment.get("POLL", "1") == "1"

    settled.armillary(
        "psql", "-c", "INSERT INTO armillary.variables (deployment, key, value) VALUES ('demo/hello', 'ALL', '1')"
    )
    until("all to be others", lambda: all(settled.pids().get(unit) not in (None, after[unit]) for unit in AIRFLOW))
    settled.settle()


def test_a_secret_variable_reaches_the_process_and_nothing_that_is_shown(settled: World):
    canary = "canary-77c1e0d9"
    before = settled.pids()["dag-processor"]
    statement = (
        "INSERT INTO armillary.variables (deployment, key, value, secret, components)"
        f" VALUES ('demo/hello', 'KEY', '{canary}', true, '{{dag-processor}}')"
    )
    settled.armillary("psql", "-c", statement)
    until("the dag-processor to be another", lambda: settled.pids().get("dag-processor") not in (None, before))
    settled.settle()

    unit = json.loads((settled.root / "run" / "dag-processor-0" / "unit.json").read_text())
    assert unit["env"]["KEY"] == canary
    assert oct((settled.root / "run" / "dag-processor-0" / "unit.json").stat().st_mode)[-3:] == "600"
    shown = [settled.armillary("get", "deployment", "demo/hello", "-o", "json").stdout]
    shown += [
        settled.http("GET", DEPLOYMENT + path)[1] for path in ("", "/status", "/events", "/plan", "/revisions")
    ]
    shown += [
        path.read_text(errors="replace") for path in (settled.home.path / "run").rglob("log*") if path.is_file()
    ]
    tables = ("audit", "events", "revisions", "objects", "units", "conditions", "variables")
    shown += [settled.sql(f"SELECT coalesce(json_agg(t)::text, '') FROM core.{one} t")[0][0] for one in tables]
    assert canary not in str(shown)


def test_the_same_put_twice_changes_nothing(settled: World):
    document = settled.http("GET", DEPLOYMENT)[1]
    pids, files, rows = settled.pids(), settled.files(), settled.rows()

    for _ in range(2):
        status, answer = settled.http("PUT", DEPLOYMENT, document)
        assert (status, answer) == (200, document)
    time.sleep(1.5)

    assert settled.pids() == pids
    assert settled.files() == files
    assert settled.rows() == rows


def test_a_converged_fleet_s_passes_write_nothing(settled: World):
    time.sleep(2)
    passes, rows, files, pids = _passes(settled), settled.rows(), settled.files(), settled.pids()

    until("some resyncs", lambda: _passes(settled) >= passes + 2, seconds=30)

    assert settled.rows() == rows
    assert settled.files() == files
    assert settled.pids() == pids


def _passes(world: World) -> float:
    done = subprocess.run(
        ["curl", "-s", f"http://127.0.0.1:{world.port}/metrics"], capture_output=True, text=True, check=True
    ).stdout
    return float(
        next(
            line for line in done.splitlines() if line.startswith('armillary_passes_total{result="done"}')
        ).split()[-1]
    )


def test_an_edited_file_is_drift_repaired_and_recorded(settled: World):
    config = settled.root / "settings" / "settings" / "airflow.cfg"
    before, event, pids = config.read_text(), settled.last_event(), settled.pids()
    config.write_text(before.replace("load_examples = False", "load_examples = True"))

    until("the file to be repaired", lambda: config.read_text() == before, seconds=10)
    settled.settle()

    repairs = [one for one in settled.events(event) if one["cause"] == "drift"]
    assert "airflow.cfg was edited" in repairs[0]["message"]
    assert settled.pids() == pids


def test_a_dropped_role_is_drift_repaired_and_recorded(settled: World, slow_dag):
    settled.sql("UPDATE armillary.deployments SET dags_folder = %s", slow_dag)
    settled.settle()
    event, url = settled.last_event(), urlsplit(store.url_of(settled.home))
    database = url._replace(path="/demo-hello").geturl()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('DROP OWNED BY "demo-hello"')
        connection.execute('DROP ROLE "demo-hello"')

    role = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'demo-hello'"
    until("the role to be there again", lambda: settled.sql(role) == [(True,)], seconds=30)
    settled.settle()

    assert any(one["cause"] == "drift" and "demo-hello" in one["object"] for one in settled.events(event))
    airflow, run = until("Airflow to take a run", lambda: _triggered(settled), seconds=150, every=1)
    until("a run to succeed", lambda: airflow.run("slow", run) == "success", seconds=90, every=0.5)


def _triggered(world: World) -> tuple[AirflowApi, str] | None:
    """Airflow and the run that it has taken, once it has connections to its database again."""
    run = f"after-the-drop-{time.time():.0f}"
    try:
        airflow = world.airflow()
        airflow.trigger("slow", run)
    except URLError:
        return None
    return airflow, run


def test_a_stranger_on_the_port_is_named_never_killed_and_the_port_taken_back(settled: World):
    event = settled.last_event()
    settled.http("PATCH", DEPLOYMENT, {"components": {"api-server": {"replicas": 0}}})
    until("the api-server to be gone", lambda: not settled.state("api-server").child_pid, seconds=40)
    port = settled.sql("SELECT number FROM armillary.ports WHERE unit = 'api-server'")[0][0]
    stranger = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        settled.http("PATCH", DEPLOYMENT, {"components": {"api-server": {"replicas": 1}}})
        held = until("the stranger to be named", lambda: _held(settled, event), seconds=60, every=0.2)
        assert f"{stranger.pid}" in held
        assert str(port) in held
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    settled.settle()


def _held(world: World, after: int) -> str:
    return next((one["message"] for one in world.events(after) if one["reason"] == "Held"), "")


def test_why_explains_a_wish_that_cannot_be(settled: World):
    status, problem = settled.http("PATCH", DEPLOYMENT, {"components": {"scheduler": {"replicas": 9}}})

    assert status == 422
    assert problem["pointer"] == "/components/scheduler/replicas"
    assert "between 0 and 1" in problem["hint"]
    assert settled.armillary("why", "demo/hello").stdout


def _files(world: World, *folders: str) -> list[str]:
    return [str(path) for one in folders for path in (world.root / one).rglob("*") if not path.is_dir()]


def test_delete_undelete_and_delete_again(settled: World):
    """The last test of this world: nothing of the deployment is left after it."""
    (settled.root / "mine.txt").write_text("somebody else's")
    settled.armillary("delete", "demo/hello")
    until("everything to be stopped", lambda: not settled.pids(), seconds=60)
    assert (settled.root / "settings" / "settings" / "airflow.cfg").exists()
    assert (settled.root / "volumes" / "home").is_dir()

    settled.armillary("undelete", "demo/hello")
    settled.settle()
    assert set(settled.pids()) == set(AIRFLOW)

    settled.sql("DELETE FROM armillary.deployments WHERE deployment = 'demo/hello'")
    settled.sql("UPDATE armillary.deployments SET delete_after = now() WHERE deployment = 'demo/hello'")
    kept = "SELECT count(*) FROM pg_database WHERE datname = 'demo-hello'"
    until(
        "what is not data to be removed", lambda: not _files(settled, "settings", "credentials", "run"), seconds=90
    )
    until("nothing of it to run", lambda: not below(settled.root), seconds=60)
    assert settled.sql(kept) == [(1,)]
    assert (settled.root / "volumes" / "logs").is_dir()
    assert (settled.root / "mine.txt").read_text() == "somebody else's"

    settled.sql("UPDATE armillary.deployments SET retain_until = now() WHERE deployment = 'demo/hello'")
    until("the data to be removed", lambda: settled.sql(kept) == [(0,)], seconds=60)
    until("the row to be gone", lambda: settled.sql("SELECT count(*) FROM core.deployments") == [(0,)], seconds=60)
    assert [path.name for path in settled.root.iterdir()] == ["mine.txt"]
    roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'demo-hello%%'"
    assert settled.sql(roles) == [(0,)]
