"""What commands print, and how they end."""

import json
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli import logs, output
from cli.errors import ExitCode, Misused, Refused
from cli.main import run
from cli.output import Format
from cli.reading import deployment_row
from tests.cli.conftest import answer

ROWS = [{"name": "hello", "state": "ready", "detail": "all [bold]well[/bold]"}, {"name": "x", "state": None}]


def test_json_and_yaml_hold_the_same_data(capsys):
    output.show(ROWS, Format.JSON, rows=ROWS, columns=("name",))
    as_json = json.loads(capsys.readouterr().out)
    output.show(ROWS, Format.YAML, rows=ROWS, columns=("name",))
    as_yaml = yaml.safe_load(capsys.readouterr().out)

    assert as_json == as_yaml == ROWS


def test_a_table_has_a_head_and_a_line_a_row_and_shows_text_as_it_is(capsys):
    output.show(ROWS, Format.TABLE, rows=ROWS, columns=("name", "state", "detail"))

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["NAME", "STATE", "DETAIL"], ["hello", "ready", "all", "[bold]well[/bold]"], ["x"]]


def test_a_piped_table_is_neither_cut_nor_coloured(capsys):
    long = "word " * 60
    output.show([], Format.TABLE, rows=[{"state": "ready", "detail": long}], columns=("state", "detail"))

    printed = capsys.readouterr().out
    assert long.strip() in printed
    assert "\x1b" not in printed


def test_an_error_says_what_where_and_what_to_do_then_shows_its_evidence(capsys):
    output.report(Refused("Port 1 is taken.", where="127.0.0.1:1", todo="Choose another.", lines=("a", "b")))

    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.strip() for line in printed.err.splitlines()] == [
        "error: Port 1 is taken.",
        "127.0.0.1:1",
        "Choose another.",
        "| a",
        "| b",
    ]


def test_a_deployment_without_status_is_unknown_and_not_well():
    row = deployment_row({"workspace": "demo", "name": "hello", "status": {}})

    assert (row["ready"], row["synced"]) == ("Unknown", "Unknown")


def test_wrong_usage_ends_with_2(capsys):
    assert run(["get", "nonsense"]) == ExitCode.USAGE
    assert run(["frobnicate"]) == ExitCode.USAGE
    assert run(["why", "no-slash"]) == ExitCode.USAGE
    assert "no-slash" in capsys.readouterr().err


def test_no_daemon_ends_with_5(home, monkeypatch, capsys):
    for name in ("ARMILLARY_URL", "ARMILLARY_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    assert run(["status", "--home", str(home.path)]) == ExitCode.UNREACHABLE
    assert "armillary up" in capsys.readouterr().err


def test_no_file_ends_with_3(home):
    assert run(["apply", "-f", str(home.path / "none.yaml")]) == ExitCode.NOT_FOUND


def test_help_tells_the_exit_codes(capsys):
    assert run(["--help"]) == ExitCode.OK

    printed = " ".join(capsys.readouterr().out.split())
    assert "Exit codes: 0 done" in printed
    assert "6 timed out" in printed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_offered(shell):
    command = [sys.executable, "-m", "cli.main", "--show-completion", shell]

    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert "armillary" in shown


FLEET = {
    "/v1/deployments": [{"workspace": "demo", "name": "hello", "airflow_version": "3.3.2"}],
    "/v1/workspaces/demo/deployments/hello": {"workspace": "demo", "name": "hello", "generation": 3},
    "/v1/workspaces/demo/deployments/hello/status": {
        "generation": 3,
        "observed_generation": 3,
        "conditions": [{"type": "Ready", "status": "True", "reason": "Healthy", "message": "all is well"}],
        "units": [{"unit": "scheduler", "component": "scheduler", "state": "ready", "detail": ""}],
        "addresses": {"airflow": "http://127.0.0.1:20000"},
    },
    "/v1/workspaces/demo/deployments/hello/why": {"why": "demo/hello is Ready.", "lines": ["nothing waits"]},
    "/v1/workspaces/demo/deployments/hello/events": [{"reason": "Synced", "message": "converged"}],
}


@pytest.fixture
def fleet(tmp_path):
    """An API with one deployment, in a process of its own, because a command has an event loop of its own."""
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    command = [sys.executable, str(script), json.dumps(FLEET)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.kill()


SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
fleet = json.loads(sys.argv[1])
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        found = fleet.get(self.path.partition("?")[0])
        self.send_response(200 if found is not None else 404)
        self.end_headers()
        self.wfile.write(json.dumps(found or {"title": "Not found", "detail": "no such deployment"}).encode())
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
"""


@pytest.fixture
def armillary(fleet, monkeypatch, capsys):
    """Run a command against that API: exit code, stdout, stderr."""
    monkeypatch.setenv("ARMILLARY_URL", fleet)
    monkeypatch.setenv("ARMILLARY_TOKEN", "arm_x")

    def call(*arguments):
        code = run(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize(
    "command",
    [
        ("get", "deployments"),
        ("get", "deployment", "demo/hello"),
        ("describe", "demo/hello"),
        ("why", "demo/hello"),
        ("status",),
        ("status", "demo/hello"),
    ],
)
def test_every_looking_command_has_three_formats(armillary, command):
    code, shown, _ = armillary(*command)
    json_code, as_json, _ = armillary(*command, "-o", "json")
    yaml_code, as_yaml, _ = armillary(*command, "-o", "yaml")

    assert (code, json_code, yaml_code) == (0, 0, 0)
    assert shown.strip()
    assert json.loads(as_json) == yaml.safe_load(as_yaml)


def test_status_shows_each_deployment_with_its_address(armillary):
    _, shown, _ = armillary("status")

    assert "demo/hello" in shown
    assert "http://127.0.0.1:20000" in shown


def test_what_does_not_exist_ends_with_3_and_the_apis_words(armillary):
    code, shown, told = armillary("get", "deployment", "demo/other")

    assert (code, shown) == (ExitCode.NOT_FOUND, "")
    assert "no such deployment" in told


async def test_a_status_that_cannot_be_read_is_told_and_not_left_out(client):
    from cli.reading import with_status

    async def handler(_):
        return answer(503, {"title": "Blind", "detail": "the store is away"})

    found = await with_status(await client(handler), [{"workspace": "demo", "name": "hello"}])

    assert deployment_row(found[0])["message"] == "Blind: the store is away"


@given(
    st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("xyz"), max_size=8), st.integers(1, 20)
)
def test_following_a_log_shows_each_new_line_once(before, new, lines):
    shown, told = before[-lines:], (before + new)[-lines:]

    assert list(logs.after(shown, told)) == new[-lines:]


@pytest.mark.parametrize(("age", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("31d", 31 * 86400)])
def test_an_age_of_lines_is_read_as_people_write_it(age, seconds):
    assert logs._seconds(age) == seconds


@pytest.mark.parametrize("age", ["10", "m", "0s", "32d", "-1m", "1.5h", "10 m"])
def test_what_is_no_age_of_lines_is_refused_with_an_example(age):
    with pytest.raises(Misused, match="no age"):
        logs._seconds(age)
