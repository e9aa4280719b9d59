"""A real PostgreSQL for the whole session, and a fresh database for each test that asks for one."""

import asyncio
import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from state.embedded import Embedded, prepare
from state.embedded_files import configure
from state.unprivileged import unprivileged
from tests.clusters import kubeconfig  # noqa: F401 - a fixture for all
from tests.memory import in_memory

# pytest-asyncio asks for the current loop before each test; asked the first time, asyncio would make one that
# nobody closes, and an unclosed loop is a warning, thus an error
asyncio.set_event_loop(None)


_READY_SECONDS = 30.0
_STOP_SECONDS = 20.0
_NUMBERS = itertools.count(1)
# a crash of the test machine may lose test data; nothing here survives the session anyway
_FAST = ("-c", "fsync=off", "-c", "full_page_writes=off", "-c", "autovacuum=off")


MakeDatabase = Callable[..., contextlib.AbstractContextManager[str]]
Start = Callable[[Embedded, Path], subprocess.Popen[bytes]]


@pytest.fixture
def start_server() -> Iterator[Start]:
    """A starter of prepared servers: returns once the server answers; stopped at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda server, log: stack.enter_context(running(server, log))


@contextlib.contextmanager
def running(server: Embedded, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A prepared server with more options of PostgreSQL's, from when it answers until the end."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*server.command, *_FAST, *options],
            env=server.env,
            cwd=server.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            user=server.user[0] if server.user else None,
            group=server.user[1] if server.user else None,
            extra_groups=[] if server.user else None,
            start_new_session=True,  # Ctrl-C at the terminal is pytest's; the server is stopped after it
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call between fork and exec
        )
    try:
        _wait_ready(server, process, log)
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a server fast; kill it when it does not."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)


def _die_with_parent() -> None:
    # a killed pytest must not leave a server behind (PR_SET_PDEATHSIG is 1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def _wait_ready(server: Embedded, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            psycopg.connect(server.url_of("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the test server did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.02)
        else:
            return


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for the session that the user PostgreSQL drops to may enter."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-test-", dir=in_memory()))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(scratch: Path) -> Iterator[Embedded]:
    """A running server, without durability: the embedded one, or of the binaries that the environment names."""
    given = os.environ.get("ARMILLARY_TEST_POSTGRES")
    server = _of_binaries(Path(given), scratch / "given") if given else prepare(scratch / "home")
    with running(server, scratch / "postgres.log"):
        yield server


def _of_binaries(binaries: Path, folder: Path) -> Embedded:
    """A server like the embedded one, of another release of PostgreSQL."""
    user, password = unprivileged(), "test"
    folder.mkdir()
    (folder / "password").write_text(password)
    for one in (folder, folder / "password"):
        user.own(one)
    command = (str(binaries / "initdb"), "-D", str(folder / "data"), f"--pwfile={folder / 'password'}")
    usual = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres")
    done = user.run((*command, *usual), cwd=folder, env={"LC_ALL": "C.UTF-8"}, given="", timeout=180.0)
    assert done.returncode == 0, done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configure(folder / "data", port=port, socket=folder, user=user)
    return Embedded(
        folder=folder,
        data=folder / "data",
        socket=folder,
        port=port,
        binaries=binaries,
        user=(user.uid, user.gid) if user.drop else None,
        password=password,
    )


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Embedded) -> str:
    """The superuser's URL of the test server's maintenance database."""
    return postgres_server.url_of("postgres")


@pytest.fixture(scope="session")
def template_database(postgres_server: Embedded, postgres_url: str) -> str:
    """The name of a database that was migrated once; copies of it cost some milliseconds."""
    from state.migrate import migrate

    name = "armillary_template"
    _statement(postgres_url, "CREATE DATABASE {}", name)
    # in a thread of its own, so that no loop of pytest's is disturbed
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, migrate(postgres_server.url_of(name))).result()
    return name


@pytest.fixture(scope="session")
def make_database(postgres_server: Embedded, postgres_url: str) -> MakeDatabase:
    """A maker of databases: `with make_database(template=…) as url`; dropped at the end."""

    @contextlib.contextmanager
    def make(template: str = "template0") -> Iterator[str]:
        name = f"test_{os.getpid()}_{next(_NUMBERS)}"
        _statement(postgres_url, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)
        try:
            yield postgres_server.url_of(name)
        finally:
            _statement(postgres_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    return make


@pytest.fixture
def database_url(make_database: MakeDatabase, template_database: str) -> Iterator[str]:
    """The superuser's URL of an empty migrated database."""
    with make_database(template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(make_database: MakeDatabase) -> Iterator[str]:
    """The superuser's URL of a database that was never migrated."""
    with make_database() as url:
        yield url


def _statement(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
