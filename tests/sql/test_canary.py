"""Canary secrets, planted everywhere a secret can be: none is found in any place that somebody else may read.

On a server that runs as users run it. Each canary has a name of its own, so that a leak says where it came from.
What is searched: every file of the data folder (heaps and the write-ahead log among them), the server's log, our
log, every row that administrators or auditors may read, answers, errors, metrics. A plain canary is found, so the
search works.
"""

from __future__ import annotations

import contextlib
import io
import secrets as randomness
import signal
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
import structlog
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from api.context import Context
from model.names import Owner, SecretRef
from reconciler.logs import configure
from state import sealed_text
from state.database import connect
from state.desired import Desired
from state.embedded import Embedded, prepare
from state.keyring import Keyring
from state.migrate import migrate
from state.rotation import Rotation
from state.secrets import Secrets
from state.tokens import Tokens
from tests.api.conftest import HELLO, WORKSPACE, Api, StillEngine
from tests.drivers.postgres.world import World
from tests.state.fleet import PLAIN, SECRET, everything, rows

ADMINISTRATOR = "-c role=armillary_admin"
LITERAL = (
    "INSERT INTO armillary.variables (deployment, key, value, secret, components)"
    " VALUES ('demo/hello', '{}', '{}', true, '{{{}}}')"
)


@dataclass
class Canaries:
    """What was planted, by where; and all that was said since, by whom."""

    planted: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __call__(self, where: str) -> str:
        return self.planted.setdefault(where, f"canary-{where}-{randomness.token_hex(8)}")

    def in_text(self, text: str) -> set[str]:
        return {where for where, canary in self.planted.items() if canary in text}

    def in_files(self, server: Embedded) -> dict[str, list[str]]:
        """Which canary is in which file of the data folder."""
        found: dict[str, list[str]] = {}
        for path in server.data.rglob("*"):
            with contextlib.suppress(OSError):
                content = path.read_bytes() if path.is_file() else b""
                for where, canary in self.planted.items():
                    if canary.encode() in content:
                        found.setdefault(where, []).append(str(path.relative_to(server.data)))
        return found

    @contextlib.contextmanager
    def refused(self) -> Iterator[None]:
        """What is refused here says so with all its details, and a traceback."""
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, its words are searched
            yield
        self.said += traceback.format_exception(caught.value)
        if isinstance(caught.value, psycopg.Error):
            diag = caught.value.diag
            self.said += [str(getattr(diag, name)) for name in dir(diag) if not name.startswith("_")]


@contextlib.contextmanager
def running(server: Embedded, log) -> Iterator[None]:
    """The server exactly as it is started for users; stopped in order, so that it writes all that it has."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            server.command,
            env=server.env,
            cwd=server.folder,
            stdout=output,
            stderr=output,
            user=server.user[0] if server.user else None,
            group=server.user[1] if server.user else None,
            extra_groups=[] if server.user else None,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture(scope="module")
def server(scratch):
    return prepare(scratch / "canary")


@pytest.fixture
def canaries():
    return Canaries()


async def plant_by_sql(canaries: Canaries, url: str, sealing: Secrets, keyring: Keyring) -> None:
    with psycopg.connect(url, autocommit=True, options=ADMINISTRATOR) as admin:
        admin.execute(LITERAL.format("SQL_INSERT", canaries("sql-insert"), "").encode())
        admin.execute(SECRET, ("SQL_PARAMETER", canaries("sql-parameter")))
        # too long for its row, and not to be compressed: it goes to the inbox's own TOAST table
        admin.execute(SECRET, ("SQL_LARGE", randomness.token_hex(40_000) + canaries("sql-large")))
        with admin.transaction(force_rollback=True):
            admin.execute(LITERAL.format("SQL_UNDONE", canaries("sql-undone"), "").encode())
        with canaries.refused():
            admin.execute(LITERAL.format("SQL_REFUSED", canaries("sql-refused"), "nobody").encode())
        with canaries.refused():
            admin.execute(LITERAL.format("AIRFLOW_HOME", canaries("sql-reserved"), "").encode())
        # libpq shows the line to whoever typed it, as it must; the server's log keeps nothing of it
        with pytest.raises(psycopg.errors.SyntaxError):
            admin.execute(f"SELECT '{canaries('sql-syntax')}' FROM WHERE".encode())
        await sealing.seal_inbox()
        admin.execute(
            f"UPDATE armillary.variables SET value = '{canaries('sql-update')}' WHERE key = 'SQL_INSERT'".encode()
        )
        text = sealed_text.write(keyring, Owner("deployment", "1"), "SQL_SEALED", canaries("sql-sealed"))
        admin.execute(SECRET, ("SQL_SEALED", text))
        await sealing.seal_inbox()
        admin.execute("UPDATE armillary.defaults SET refuse_plaintext = true")
        with canaries.refused():
            admin.execute(LITERAL.format("SQL_PLAIN", canaries("sql-refused-plaintext"), "").encode())
        admin.execute("UPDATE armillary.defaults SET refuse_plaintext = false")
        admin.execute(SECRET, ("SQL_DELETED", canaries("sql-deleted")))
        admin.execute("DELETE FROM armillary.variables WHERE key = 'SQL_DELETED'")


async def plant_by_http(canaries: Canaries, api: Api) -> None:
    secret = lambda where, **more: {"secret": True, "value": canaries(where), **more}  # noqa: E731 - a short word for it
    await api.patch(HELLO, {"variables": {"HTTP_PATCH": secret("http-patch")}})
    await api.put(f"{HELLO}/variables/HTTP_PUT", secret("http-put"))
    await api.patch(HELLO, {"variables": {"HTTP_REFUSED": secret("http-refused", components=["nobody"])}})
    await api.patch(HELLO, {"variables": {"AIRFLOW_HOME": secret("http-reserved")}})
    await api.patch(HELLO, {"variables": {"HTTP_WRONG": secret("http-wrong", nonsense=1)}})
    await api.patch(HELLO, {"variables": {"HTTP_LIST": [canaries("http-list")]}})
    await api("PATCH", HELLO, body=f'{{"variables": {{"X": "{canaries("http-malformed")}"')
    await api.get(HELLO, token=canaries("http-token"))
    for path in ("", "/status", "/events", "/revisions", "/why"):
        await api.get(HELLO + path)
    await api("GET", "/metrics", token="")


async def plant_in_the_world(canaries: Canaries, server: Embedded, sealing: Secrets) -> None:
    """A database's password: minted, sealed, and given to a role."""
    passwords = {name: canaries(f"{name}-password") for name in ("database-owner", "database-user")}
    versions = await sealing.mint(Owner("deployment", "1"), passwords)
    world = World(url=server.url_of("postgres"), release="canary-world")
    for name, version in versions.items():
        value = await sealing.reveal(SecretRef("deployment/1", name, version))
        world.passwords[SecretRef(str(world.owner), name, 1)] = value
    await world.driver.open()
    await world.put()
    await world.driver.close()


def readable(url: str) -> str:
    """Every row there is."""
    with psycopg.connect(url, autocommit=True) as sql:
        views = rows(sql, "SELECT viewname FROM pg_views WHERE schemaname = 'armillary'")
        told = [rows(sql, f"SELECT t::text FROM armillary.{view} t") for (view,) in views]
        told += [
            rows(sql, "SELECT armillary.why('demo/hello')"),
            rows(sql, "SELECT armillary.plan_of('demo/hello')::text"),
        ]
        told += [rows(sql, "SELECT armillary.diff('demo/hello', 1)::text")]
        return str([everything(sql), told])


@pytest.fixture
def our_log():
    """What we log, as the daemon does."""
    before, lines = structlog.get_config(), io.StringIO()
    configure("json")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(lines), cache_logger_on_first_use=False)
    yield lines
    structlog.configure(**before)


async def test_no_canary_is_found_anywhere(server, canaries, scratch, our_log, capfd):
    log, url = scratch / "canary.log", server.url
    with running(server, log):
        await server.wait_ready(30)
        await migrate(url)
        database = await connect(url, application_name="canary")
        keyring = Keyring.load_or_create(scratch / "canary" / "keyring.json")
        sealing = Secrets(database, keyring)
        tokens = Tokens(database)
        canaries.planted["token"] = await tokens.create("ann")
        context = Context(
            desired=Desired(database),
            tokens=tokens,
            engine=StillEngine(),
            reveal=sealing.reveal,
            logs=lambda _: {},
            usage=lambda _: {},
        )
        async with TestClient(TestServer(create_app(context))) as client:
            api = Api(client, canaries("token"))
            await api.put(WORKSPACE, {})
            await api.put(HELLO, {"airflow_version": "3.3.2", "dags_folder": "/srv/dags"})
            await plant_by_http(canaries, api)
            await plant_by_sql(canaries, url, sealing, keyring)
            await plant_in_the_world(canaries, server, sealing)
        await sealing.seal_inbox()
        rotation = Rotation(database, keyring)
        await rotation.begin(actor="me")
        assert [one async for one in rotation.go_on(actor="me")][-1].left == 0
        with psycopg.connect(url, autocommit=True) as sql:
            owner = sql.execute("SELECT owner FROM core.deployments").fetchone()[0]
            versions = dict(sql.execute("SELECT key, version FROM core.variables WHERE secret").fetchall())
            sql.execute("CREATE TABLE public.shown (text text)")
            sql.execute("INSERT INTO public.shown VALUES (%s)", (canaries("shown-in-a-heap"),))
            sql.execute(PLAIN, ("PLAIN", canaries("shown-as-plain")))
            sql.execute("CHECKPOINT")
        found = canaries.in_files(server)
        told = readable(url)
        replies = "".join(one.text + str(one.headers) for one in api.replies)
        # what was planted is there, sealed
        for key, where in (("SQL_INSERT", "sql-update"), ("SQL_SEALED", "sql-sealed"), ("HTTP_PUT", "http-put")):
            assert await sealing.reveal(SecretRef(owner, f"variable/{key}", versions[key])) == canaries(where)
        await database.close()
    after = canaries.in_files(server)
    ours = capfd.readouterr()

    shown = {"shown-in-a-heap", "shown-as-plain"}
    assert found.keys() == shown, found
    assert any("pg_wal" in path for path in found["shown-in-a-heap"])
    assert any("base" in path for path in found["shown-in-a-heap"])
    assert after.keys() == shown, after
    assert canaries.in_text(told) == {"shown-as-plain"}
    for place, text in {
        "the server's log": log.read_text(errors="replace"),
        "our log": our_log.getvalue() + ours.out + ours.err,
        "errors": "\n".join(canaries.said),
        "answers and metrics": replies,
        "the key ring": (scratch / "canary" / "keyring.json").read_text(),
    }.items():
        assert canaries.in_text(text) == set(), place
    assert "request answered" in our_log.getvalue()
    assert len(canaries.planted) > 20
