"""The container image, really built and really run. Skipped, saying why, where it cannot be built."""

import json
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drivers.local.runtime import shipped_locks
from tests.image.builder import Builder, missing
from tests.image.container import START_SECONDS, Container, Running

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800), pytest.mark.skipif(bool(missing()), reason=missing())]

IMAGE = "localhost/armillary:test"
BASE = "localhost/armillary-base:test"
UID = 10001


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    made = Builder(Path(tempfile.mkdtemp(prefix="armillary-image-")))
    made.folder.chmod(0o711)  # the image's user passes through on its way to the container's root
    try:
        made.base(BASE)
        made.build(IMAGE, BASE)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def config(builder: Builder) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(builder.run("inspect", "--type=image", IMAGE))
    found: dict[str, Any] = document["Docker"]["config"]
    return found


@pytest.fixture(scope="module")
def container(builder: Builder, config: dict[str, Any]) -> Iterator[Container]:
    """One container for the tests that leave its home as it is, or nearly: making one copies the whole image."""
    with builder.container(IMAGE) as name:
        yield Container(builder, name, config)


@pytest.fixture
def fresh(builder: Builder, config: dict[str, Any]) -> Iterator[Container]:
    """A container with an empty home."""
    with builder.container(IMAGE) as name:
        yield Container(builder, name, config)


def test_the_entry_point_takes_the_command_s_arguments(container: Container) -> None:
    assert container.enter("--version").startswith("armillary ")
    assert "serve" in container.enter("--help")


def test_what_runs_in_the_image_has_no_privileges(container: Container) -> None:
    script = (
        'touch "$ARMILLARY_HOME/x" && rm "$ARMILLARY_HOME/x" && test ! -w /opt/armillary && id -u && id -un && pwd'
    )

    assert container.run("sh", "-c", script).split() == [str(UID), "armillary", "/var/lib/armillary"]


def test_the_image_says_how_it_is_watched_and_what_to_keep(config: dict[str, Any]) -> None:
    assert config["User"] == "armillary"
    assert "8871/tcp" in config["ExposedPorts"]
    assert "/var/lib/armillary" in config["Volumes"]
    assert "/healthz" in config["Healthcheck"]["Test"][-1]


def test_the_image_holds_no_tools_of_its_build(container: Container) -> None:
    assert [path.name for path in (container.root / "opt").iterdir()] == ["armillary"]
    assert not (container.root / "build").exists()


def test_everything_that_is_read_at_run_time_is_in_the_image(container: Container) -> None:
    script = (
        "import state.migrate as m; from cli import quickstart; from drivers.local.runtime import shipped_locks;"
        "print(*shipped_locks(), (quickstart.examples() / 'dags' / 'hello_armillary.py').is_file(),"
        "all((m._SCRIPTS / one).is_file() for one in ('env.py', 'script.py.mako')))"
    )

    assert container.run("/opt/armillary/bin/python", "-Ic", script).split() == [
        *shipped_locks(),
        "True",
        "True",
    ]


def test_it_starts_with_a_postgresql_of_its_own_and_stops_everything_in_order(fresh: Container) -> None:
    assert not fresh.is_healthy()

    with fresh.started() as running:
        wait_for(f"{fresh.url}/healthz", fresh, running)
        assert fresh.is_healthy()
        assert "postgres" in (programs := fresh.programs())
        assert set(programs.values()) == {UID}
        running.stop()

        assert fresh.processes() == []
    assert "everything of /var/lib/armillary is stopped" in fresh.output
    assert not fresh.is_healthy()
    assert fresh.run("cat", "run/postgres/log").endswith("database system is shut down")


def test_it_serves_with_a_postgresql_of_the_user_s(container: Container, empty_database_url: str) -> None:
    container = replace(container, env={**container.env, "ARMILLARY_DATABASE": empty_database_url})
    container.enter("migrate")
    token = container.enter("token", "create", "test")

    with container.started("serve", "--host", "0.0.0.0") as running:
        wait_for(f"{container.url}/readyz", container, running)
        assert container.is_healthy()
        assert get(f"{container.url}/v1/deployments", token) == 200
        assert running.stop() == 0

        assert container.processes() == []


def wait_for(url: str, container: Container, running: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    while get(url) != 200:
        assert running.runtime.poll() is None, f"it ended: {container.output[-4000:]}"
        assert time.monotonic() < deadline, f"{url} did not answer with 200: {container.output[-4000:]}"
        time.sleep(0.1)


def get(url: str, token: str = "") -> int:
    call = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(call, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
