"""The API client: what it sends, and what it makes of every kind of answer."""

import json
import socket

import pytest
from aiohttp import web

from cli.client import Client, Endpoint, endpoint
from cli.errors import Failed, Misused, NotFound, NotPermitted, Refused, Unreachable
from tests.cli.conftest import answer


async def test_it_sends_the_token_and_json_and_gives_back_json(client):
    async def echo(request):
        return answer(
            200,
            {
                "method": request.method,
                "token": request.headers["Authorization"],
                "type": request.headers.get("Content-Type"),
                "body": await request.json() if request.can_read_body else None,
                "limit": request.query.get("limit"),
            },
        )

    api = await client(echo)

    assert await api.get("/x", limit=3) == {
        "method": "GET",
        "token": "Bearer secret",
        "type": None,
        "body": None,
        "limit": "3",
    }
    assert (await api.put("/x", {"a": 1})).data["body"] == {"a": 1}
    assert (await api.patch("/x", {"a": None}))["type"] == "application/merge-patch+json"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Failed),
        (401, NotPermitted),
        (403, NotPermitted),
        (404, NotFound),
        (409, Refused),
        (412, Refused),
        (422, Refused),
        (500, Failed),
        (503, Unreachable),
    ],
)
async def test_a_problem_becomes_an_error_of_its_kind_in_the_apis_own_words(client, status, kind):
    problem = {"type": "about:blank", "title": "No", "status": status, "detail": "because", "hint": "do this"}
    api = await client(_always(status, problem))

    with pytest.raises(kind) as caught:
        await api.get("/v1/workspaces/demo")

    assert caught.value.sentences() == ("No: because", "GET /v1/workspaces/demo", "do this")


async def test_a_problem_with_a_pointer_says_where_in_the_document(client):
    problem = {"title": "Invalid", "detail": "replicas is 9", "pointer": "/components/scheduler/replicas"}
    api = await client(_always(422, problem))

    with pytest.raises(Refused) as caught:
        await api.put("/v1/x", {})

    assert "/components/scheduler/replicas" in caught.value.where


async def test_an_answer_that_is_no_problem_document_is_still_shown(client):
    async def proxy(_):
        return web.Response(status=502, text="<html>Bad gateway</html>")

    api = await client(proxy)

    with pytest.raises(Unreachable) as caught:
        await api.get("/v1/x")

    assert "Bad gateway" in caught.value.what


async def test_success_without_json_is_an_error_that_doubts_the_address(client):
    async def page(_):
        return web.Response(text="<html>It works</html>")

    api = await client(page)

    with pytest.raises(Failed, match="not JSON"):
        await api.get("/v1/x")


async def test_an_empty_answer_is_none(client):
    async def nothing(_):
        return web.Response(status=204)

    api = await client(nothing)

    assert await api.delete("/v1/x") is None


async def test_the_generation_of_an_etag_is_given_without_its_quotes(client):
    async def tagged(_):
        return answer(200, {}, ETag='"12"')

    api = await client(tagged)

    assert (await api.ask("GET", "/v1/x")).etag == "12"


async def test_a_server_that_is_not_there_is_unreachable_and_says_how_to_start_it():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"

    async with Client(Endpoint(url, "secret")) as api:
        with pytest.raises(Unreachable) as caught:
            await api.get("/v1/x")

    assert url in caught.value.what
    assert "armillary up" in caught.value.todo


async def test_a_connection_cut_in_the_middle_is_unreachable(client):
    async def cut(request):
        request.transport.abort()
        return web.Response()

    api = await client(cut)

    with pytest.raises(Unreachable):
        await api.get("/v1/x")


def test_the_endpoint_is_the_homes_daemon_with_the_homes_token(home):
    home.path.mkdir()
    home.daemon.write_text(json.dumps({"url": "http://127.0.0.1:8871", "pid": 1}))
    home.token.write_text("arm_x\n")

    assert endpoint(home, {}) == Endpoint("http://127.0.0.1:8871", "arm_x")


def test_the_environment_names_another_api(home):
    environ = {"ARMILLARY_URL": "https://armillary.example/", "ARMILLARY_TOKEN": "arm_y"}

    assert endpoint(home, environ) == Endpoint("https://armillary.example", "arm_y")


def test_the_homes_token_is_never_sent_to_another_url(home):
    home.path.mkdir()
    home.token.write_text("arm_x\n")

    with pytest.raises(Misused, match="ARMILLARY_TOKEN"):
        endpoint(home, {"ARMILLARY_URL": "https://elsewhere.example"})


def test_a_home_without_a_daemon_says_how_to_start_one(home):
    with pytest.raises(Unreachable) as caught:
        endpoint(home, {})

    assert str(home.path) in caught.value.what
    assert "armillary up" in caught.value.todo


def test_a_home_without_a_token_says_so(home):
    home.path.mkdir()
    home.daemon.write_text(json.dumps({"url": "http://127.0.0.1:8871"}))

    with pytest.raises(NotPermitted, match="no token"):
        endpoint(home, {})


def test_a_broken_daemon_file_is_an_error_and_no_traceback(home):
    home.path.mkdir()
    home.daemon.write_text("{")

    with pytest.raises(Failed):
        endpoint(home, {})


def test_the_token_is_not_in_what_is_logged_of_an_endpoint():
    assert "arm_x" not in repr(Endpoint("http://x", "arm_x"))


def _always(status, document):
    async def handler(_):
        return answer(status, document)

    return handler
