"""`login`: what a person needs to get in, and nothing when there is nothing yet."""

import pytest

from cli.errors import Refused
from cli.login import login_of
from cli.names import DeploymentName
from tests.cli.conftest import answer

HELLO = DeploymentName("demo", "hello")


async def test_the_address_the_user_and_the_password_are_shown(client):
    async def handler(request):
        assert request.path == "/v1/workspaces/demo/deployments/hello/login"
        return answer(200, {"username": "admin", "password": "p", "url": "http://127.0.0.1:20000"})

    found = await login_of(await client(handler), HELLO)

    assert (found.url, found.username, found.password) == ("http://127.0.0.1:20000", "admin", "p")


async def test_an_airflow_without_an_address_yet_is_no_error(client):
    async def handler(request):
        return answer(200, {"username": "admin", "password": "p", "url": None})

    assert (await login_of(await client(handler), HELLO)).url == ""


async def test_a_login_that_is_not_generated_yet_is_refused_with_what_to_do(client):
    async def handler(request):
        problem = {
            "title": "Conflict",
            "detail": "The login of demo/hello is not generated yet.",
            "hint": "Again.",
        }
        return answer(409, problem)

    with pytest.raises(Refused, match="not generated yet"):
        await login_of(await client(handler), HELLO)
