"""`armillary login`: how a person gets into a deployment's Airflow. The API keeps as an event who was shown it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.text import Text

from cli import completion
from cli.client import Client
from cli.names import DeploymentName, deployment_name
from cli.output import Format, console, show
from cli.session import HomeOption, OutputOption, asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How to log in to one Airflow. `url` is empty while it has no address yet."""

    url: str
    username: str
    password: str


def login(
    name: Annotated[
        str, typer.Argument(metavar="WORKSPACE/NAME", autocompletion=completion.deployments, help="Whose login.")
    ],
    *,
    output: OutputOption = Format.TABLE,
    home: HomeOption = None,
) -> None:
    """Show how to log in to a deployment's Airflow: its address, a user, a generated password."""
    whose = deployment_name(name)

    async def ask(api: Client) -> Login:
        return await login_of(api, whose)

    found = asking(home, ask)
    if output is Format.TABLE:
        out = console()
        out.print(Text(found.url or f"no address yet: armillary why {whose} says what it waits for"))
        out.print(Text(f"log in as {found.username} with {found.password}"))
    else:
        show(asdict(found), output, rows=(), columns=())


async def login_of(api: Client, name: DeploymentName) -> Login:
    """The login of a deployment. Raises Refused while it is not generated yet."""
    found = await api.get(f"{name.path}/login")
    return Login(url=str(found.get("url") or ""), username=str(found["username"]), password=str(found["password"]))
