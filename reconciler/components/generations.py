"""What differs between the generations of Airflow: names of settings, commands, where health is told. Pure.

Airflow 2 has a webserver where Airflow 3 has an api-server, users in its database where Airflow 3 has a file, and
tasks that write to the database themselves. All else is the same, and stands in `airflow`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from model.names import AddressRef, PathRef
from model.spec import Spec

Lines = tuple[str | AddressRef | PathRef, ...]

_LOCAL_SETTINGS = '''"""Written by Armillary; Airflow imports this file at start ({facts}).

{why}Its scheduler and dag-processor end when the database is away for a moment, as it is while it restarts: here
a new connection waits for it.
"""

import time
{imports}
from sqlalchemy import event
from sqlalchemy.engine import Engine

_PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
{listening}

def _connect_patiently(dialect, _record, arguments, options):
    if dialect.is_async:
        return None  # a sleep would stop its whole event loop
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return dialect.connect(*arguments, **options)
        except dialect.dbapi.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


{patched}event.listen(Engine, "do_connect", _connect_patiently)
'''

_LISTENING = """_run = uvicorn.run


def _run_where_asked(app, **options):
    if options.get("host") == "":
        options["host"] = LISTEN
    return _run(app, **options)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One generation of Airflow. Settings are named by their environment variables.

    `own_config` continues the section `[core]` of airflow.cfg and adds sections of its own, from the api-server's
    address, the address it listens on, and the file of the login. `secrets`: setting → generated secret.
    """

    api_server: tuple[str, ...]
    scheduler: tuple[str, ...]
    health: str
    port: str
    workers: str
    capacity: str
    refresh_interval: str
    parsing_processes: str
    secrets: Mapping[str, str]
    own_config: Callable[[AddressRef, AddressRef, PathRef, str], Lines]
    scheduler_config: str
    local_settings: str
    has_users: bool


def generation_of(spec: Spec) -> Generation:
    """The generation of a deployment's Airflow."""
    return _GENERATIONS[major_of(spec.airflow_version)]


def major_of(version: str) -> int:
    """2 or 3."""
    return 2 if version.startswith("2.") else 3


def by_major(major: int) -> Generation:
    """The generation of a major version."""
    return _GENERATIONS[major]


def _config_of_3(api: AddressRef, listen: AddressRef, login: PathRef, admin: str) -> Lines:
    return (
        "auth_manager = airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager\n",
        f"simple_auth_manager_users = {admin}:admin\n",
        "simple_auth_manager_passwords_file = ",
        login,
        "\nexecution_api_server_url = http://",
        api,
        "/execution/\n\n[api]\nbase_url = http://",
        api,
        "\nhost = ",
        listen,
    )


def _config_of_2(api: AddressRef, listen: AddressRef, *_: object) -> Lines:
    basic = "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth"
    return (
        f"\n[api]\nauth_backends = airflow.api.auth.backend.session,{basic}\n",
        "\n[webserver]\nbase_url = http://",
        api,
        "\nweb_server_host = ",
        listen,
    )


_GENERATIONS = {
    3: Generation(
        api_server=("airflow", "api-server"),
        scheduler=("airflow", "scheduler"),
        health="/api/v2/monitor/health",
        port="AIRFLOW__API__PORT",
        workers="AIRFLOW__API__WORKERS",
        capacity="AIRFLOW__TRIGGERER__CAPACITY",
        refresh_interval="AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
        parsing_processes="AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES",
        secrets={"AIRFLOW__API__SECRET_KEY": "api-secret-key", "AIRFLOW__API_AUTH__JWT_SECRET": "jwt-secret"},
        own_config=_config_of_3,
        scheduler_config="",
        local_settings=_LOCAL_SETTINGS.format(
            facts="both facts are of Airflow 3.3.2",
            why="Airflow's log servers bind every interface and have no setting for it: here they are kept to the "
            "one they need.\n",
            imports="\nimport uvicorn\nfrom armillary_host import LISTEN",
            listening=_LISTENING,
            patched="uvicorn.run = _run_where_asked\n",
        ),
        has_users=False,
    ),
    # its log servers cannot be kept to one interface; as the webserver reads the shared folder, none is started
    2: Generation(
        api_server=("airflow", "webserver"),
        scheduler=("airflow", "scheduler", "--skip-serve-logs"),
        health="/health",
        port="AIRFLOW__WEBSERVER__WEB_SERVER_PORT",
        workers="AIRFLOW__WEBSERVER__WORKERS",
        capacity="AIRFLOW__TRIGGERER__DEFAULT_CAPACITY",
        refresh_interval="AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL",
        parsing_processes="AIRFLOW__SCHEDULER__PARSING_PROCESSES",
        secrets={"AIRFLOW__WEBSERVER__SECRET_KEY": "api-secret-key"},
        own_config=_config_of_2,
        scheduler_config="standalone_dag_processor = True\n",
        local_settings=_LOCAL_SETTINGS.format(
            facts="the fact is of Airflow 2.11.2", why="", imports="", listening="", patched=""
        ),
        has_users=True,
    ),
}
