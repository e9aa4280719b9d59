"""The real application on the real store; every answer is held against what the route says it answers.

Only the daemon is a double: a plan and its progress, as a test sets them.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry, Counter
from pydantic import TypeAdapter

from api.answers import Problem
from api.app import ALL_ROUTES, create_app
from api.context import Context
from model.names import Owner
from model.plan import Plan
from reconciler.progress import Progress
from state.database import connect
from state.desired import Desired
from state.keyring import Keyring
from state.secrets import Secrets
from state.tokens import Tokens

WORKSPACE = "/v1/workspaces/demo"
HELLO = f"{WORKSPACE}/deployments/hello"
SMALLEST = {"airflow_version": "3.3.2", "dags_folder": "/srv/dags"}


class StillEngine:
    """A daemon that does nothing: it says what a test wants it to say."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.passes = Counter("armillary_passes", "Passes", ["result"], registry=self.registry)
        self.plan = Plan()
        self.asked: list[Owner] = []
        self.said = Progress(started_at=datetime.now(UTC), listening=True, leading=True)

    async def preview(self, owner):
        self.asked.append(owner)
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan

    def progress(self):
        return self.said


@dataclass
class Reply:
    status: int
    text: str
    headers: Any
    method: str = ""
    path: str = ""

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def etag(self):
        return self.headers.get("ETag")


@dataclass
class Api:
    """Asks, and checks that what comes back is what the OpenAPI document promises."""

    client: TestClient
    token: str
    replies: list[Reply] = field(default_factory=list)

    async def __call__(self, method, path, document=None, *, body=None, token=None, **headers):
        said = {"Authorization": f"Bearer {token or self.token}"} if token != "" else {}
        said |= {name.replace("_", "-"): value for name, value in headers.items()}
        if document is not None:
            body, said["Content-Type"] = json.dumps(document), "application/json"
        async with self.client.request(method, path, data=body, headers=said) as response:
            text = (await response.read()).decode()
            reply = Reply(response.status, text, response.headers, method, path)
        self.replies.append(reply)
        _check_promise(reply)
        return reply

    async def get(self, path, **headers):
        return await self("GET", path, **headers)

    async def put(self, path, document, **headers):
        return await self("PUT", path, document, **headers)

    async def patch(self, path, document, **headers):
        return await self("PATCH", path, document, **headers)

    async def delete(self, path, **headers):
        return await self("DELETE", path, **headers)


def _check_promise(reply):
    route = next((one for one in ALL_ROUTES if one.method == reply.method and _fits(one.path, reply.path)), None)
    answer = route and next((one for one in route.answers if one.status == reply.status), None)
    if answer is None:
        assert reply.headers["Content-Type"].startswith("application/problem+json"), reply
        problem = Problem.model_validate_json(reply.text)
        assert (problem.status, bool(problem.detail)) == (reply.status, True), reply
        return
    assert (reply.etag is not None) == answer.has_etag, reply
    if answer.model is not None:
        shapes = {"one": answer.model, "list": list[answer.model], "map": dict[str, answer.model]}
        TypeAdapter(shapes[answer.shape]).validate_json(reply.text)


def _fits(template, path):
    return re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path.partition("?")[0]) is not None


@pytest.fixture
async def database(database_url):
    database = await connect(database_url, application_name="armillary test")
    yield database
    await database.close()


@pytest.fixture
def execute(database_url):
    """Runs one statement as an administrator in psql would, and returns its rows."""

    def run(statement, parameters=None):
        with psycopg.connect(database_url, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def engine():
    return StillEngine()


@pytest.fixture
def secrets(database):
    return Secrets(database, Keyring.in_memory())


@pytest.fixture
def logs():
    """The logs that the local driver would find: release → unit → file."""
    return {}


@pytest.fixture
def usages():
    """What the local driver would say: release → unit → usage."""
    return {}


@pytest.fixture
async def api(database, engine, secrets, logs, usages):
    tokens = Tokens(database)
    context = Context(
        desired=Desired(database),
        tokens=tokens,
        engine=engine,
        reveal=secrets.reveal,
        logs=lambda release: logs.get(release, {}),
        usage=lambda release: usages.get(release, {}),
    )
    async with TestClient(TestServer(create_app(context))) as client:
        yield Api(client, await tokens.create("ann"))


@pytest.fixture
async def hello(api):
    """A deployment demo/hello, as the API answered when it was made."""
    await api.put(WORKSPACE, {})
    return (await api.put(HELLO, SMALLEST)).json


@pytest.fixture
def everything(execute):
    """All that is desired, and how often it changed: equal means that nothing at all was written."""

    def read():
        return execute(
            "SELECT (SELECT jsonb_agg(to_jsonb(w) ORDER BY w.id) FROM core.workspaces w),"
            " (SELECT jsonb_agg(core.document(d.id) ORDER BY d.id) FROM core.deployments d),"
            " (SELECT count(*) FROM core.audit), (SELECT count(*) FROM core.secret_inbox),"
            " (SELECT count(*) FROM core.events), (SELECT count(*) FROM core.revisions)"
        )

    return read
