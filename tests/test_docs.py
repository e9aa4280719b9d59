"""The documentation says what there is: every command, setting, route, view, function, reason, metric, dependency.

What is asked here is whether a thing is told of at all, in the page where people look for it; that it is told
truly is for reviewers. Links inside the repository must lead somewhere.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.main import get_command

from api.app import ALL_ROUTES
from api.metrics import Metrics as ApiMetrics
from cli.errors import ExitCode
from cli.main import app
from model.status import Reason
from reconciler.components import CATALOG
from reconciler.metrics import Metrics
from reconciler.settings import Settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
DEPLOYMENT = "/v1/workspaces/{workspace}/deployments/{deployment}"
RELATIONS_SQL = """
    SELECT table_name::text FROM information_schema.views WHERE table_schema = 'armillary'
    UNION SELECT routine_name::text FROM information_schema.routines WHERE routine_schema = 'armillary'
"""


def page(name: str) -> str:
    return (DOCS / name).read_text()


def commands(command: Any = None, name: str = "armillary") -> Iterator[str]:
    command = command or get_command(app)
    children = getattr(command, "commands", None)
    if children is None:
        yield name
        return
    for word, child in children.items():
        yield from commands(child, f"{name} {word}")


def metrics() -> Iterator[str]:
    for registry in (Metrics().registry, ApiMetrics().registry):
        for family in registry.collect():
            yield f"{family.name}_total" if family.type == "counter" else family.name


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_is_in_operations(command: str) -> None:
    assert f"`{command}`" in page("operations.md")


def test_every_exit_code_is_in_operations() -> None:
    told = re.search(r"Exit codes: ([^.]*)\.", " ".join(page("operations.md").split()))

    assert told is not None
    assert {int(one.split()[0]) for one in told[1].split(", ")} == {int(code) for code in ExitCode}


@pytest.mark.parametrize("setting", list(Settings.model_fields))
def test_every_setting_is_in_operations_with_its_variable_and_default(setting: str) -> None:
    rows = [line for line in page("operations.md").splitlines() if line.startswith(f"| `{setting}` |")]
    default = Settings.model_fields[setting].default

    assert len(rows) == 1
    assert f"`ARMILLARY_{setting.upper()}`" in rows[0]
    if isinstance(default, str | int | float):
        assert f"{default:g}" in rows[0] if isinstance(default, int | float) else default in rows[0]


@pytest.mark.parametrize("route", ALL_ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_of_the_api_is_in_http(route: Any) -> None:
    path = route.path
    if path.startswith(f"{DEPLOYMENT}/"):
        path = f"…/{{deployment}}{path.removeprefix(DEPLOYMENT)}"
    rows = [line.split("|") for line in page("http.md").splitlines() if line.startswith(f"| `{path}` |")]

    assert len(rows) == 1
    assert route.method in rows[0][2].split()
    for query in route.query:
        assert f"{query.name}=" in rows[0][3]


def test_http_tells_of_no_route_that_is_not_there() -> None:
    told = re.findall(r"^\| `(\S+)` \| ([A-Z ]+) \|", page("http.md"), re.MULTILINE)
    routes = {(route.method, route.path) for route in ALL_ROUTES}

    assert told
    for path, methods in told:
        whole = path.replace("…/{deployment}", DEPLOYMENT, 1)
        assert {(method, whole) for method in methods.split()} <= routes


def test_every_view_and_function_of_administrators_is_in_their_page(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        names = [name for (name,) in connection.execute(RELATIONS_SQL)]
    told = page("administrators.md")

    assert names
    assert [name for name in names if f"`armillary.{name}" not in told] == []


def test_administrators_are_told_of_nothing_that_is_not_there(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        names = {name for (name,) in connection.execute(RELATIONS_SQL)}
    told = set(re.findall(r"\barmillary\.([a-z_]+)\b", page("administrators.md")))

    assert told - names == {"allow_bulk"}


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_every_reason_is_in_architecture(reason: Reason) -> None:
    assert f"| `{reason}` |" in page("architecture.md")


@pytest.mark.parametrize("component", list(CATALOG))
def test_every_component_is_in_architecture(component: str) -> None:
    assert component in page("architecture.md")


@pytest.mark.parametrize("metric", sorted(metrics()))
def test_every_metric_is_in_operations(metric: str) -> None:
    assert f"`{metric}" in page("operations.md")


def test_every_alert_is_in_operations() -> None:
    source = (ROOT / "reconciler" / "alerts.py").read_text()
    names = set(re.findall(r'name="(\w+)"', source)) | set(re.findall(r'else "(\w+)"', source))

    assert "NotReady" in names
    assert [name for name in sorted(names) if f"`{name}`" not in page("operations.md") and name != "warning"] == []


def test_every_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    direct = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[<>=~!;]", one)[0].strip() for one in direct}
    rows = re.findall(r"^\| ([a-z0-9, -]+) \| .{20,} \|$", page("dependencies.md"), re.MULTILINE)
    told = {name.strip() for row in rows for name in row.split(",")} - {"package"}

    assert told == names


def test_every_decision_has_its_context_example_choice_and_cost() -> None:
    decisions = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    numbers = [path.name[:4] for path in decisions]

    assert numbers == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}: ")
        for part in ("**Context.**", "**Example.**", "**Choice.**", "**Cost.**"):
            assert part in text, path.name
        assert f"({path.name})" in (DOCS / "decisions" / "README.md").read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        if "://" in target:
            continue
        place, _, fragment = target.partition("#")
        found = path.parent / place if place else path
        assert found.exists(), f"{path.name}: {target}"
        if fragment:
            assert fragment in {anchor(one) for one in HEADING.findall(found.read_text())}, (
                f"{path.name}: {target}"
            )


def test_every_folder_of_the_repository_that_is_linked_or_named_in_the_readme_is_there() -> None:
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_.]*)`", (ROOT / "README.md").read_text())

    assert [one for one in named if not (ROOT / one).exists()] == []


def test_the_quickstart_of_the_readme_is_the_one_that_is_submitted() -> None:
    quickstart = yaml.safe_load((ROOT / "examples" / "quickstart.yaml").read_text())

    assert quickstart["deployments"][0]["airflow_version"] in (ROOT / "README.md").read_text()
