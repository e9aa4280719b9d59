"""What all parts of one Airflow share: unit names, image, configuration, environment, mounts. Pure.

Settings that several processes read stand in `airflow.cfg`; what only one process reads is in its own
environment, so that changing it restarts that process alone. Secrets are in the environment, as references.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from model.digest import digest
from model.names import AddressRef, PathRef, SecretRef, Text, text
from model.spec import ComponentSpec, PlainVariable, SecretVariable, Spec, Variable
from model.units import Mount, Need, Probe, Process, Resources, StopBy
from reconciler.components.component import Facts
from reconciler.components.generations import Generation, by_major, generation_of, major_of

ENVIRONMENT = "environment"
SETTINGS = "settings"
LOGIN = "login"
HOME = "home"
LOGS = "logs"
DATABASE = "database"
MIGRATE = "migrate"
ROTATE = "rotate"
API_SERVER = "api-server"
SCHEDULER = "scheduler"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
WORKER = "worker"
RESULTS = "results"
USER = "user"

FERNET_KEY = "fernet-key"

ADMIN = "admin"
"""The name of the one generated Airflow login."""

_HOST = '''"""Written by Armillary: where Airflow's processes listen, and the name they find each other by."""

import socket

LISTEN = "'''

_NAMED = """"


def name():
    return LISTEN if LISTEN == "127.0.0.1" else socket.gethostbyname(socket.gethostname())
"""


def image_of(spec: Spec) -> str:
    """The image of every Airflow process of a deployment; the local driver reads it as a runtime."""
    return image_of_version(spec.airflow_version)


def image_of_version(version: str) -> str:
    """The image of a version of Airflow."""
    return f"airflow:{version}"


def settings_files(spec: Spec) -> Mapping[str, Text]:
    """The files without secrets that every Airflow process reads."""
    return _settings_files(*_settings_key(spec))


def _settings_key(spec: Spec) -> tuple[int, str, str]:
    """All that those files depend on: generation, executor, DAGs folder."""
    return major_of(spec.airflow_version), spec.executor, spec.dags_folder


def _settings_files(major: int, executor: str, dags_folder: str) -> Mapping[str, Text]:
    generation = by_major(major)
    return {
        "airflow.cfg": _config(generation, executor, dags_folder),
        "airflow_local_settings.py": text(generation.local_settings),
        "armillary_host.py": text(_HOST, AddressRef(SCHEDULER, "logs", "listen"), _NAMED),
    }


def login_files(facts: Facts) -> Mapping[str, Text]:
    """The password file of Airflow's simple auth manager, holding the one generated login."""
    return _login_files(facts.secret("admin-password"))


def _login_files(password: SecretRef) -> Mapping[str, Text]:
    return {"passwords.json": text(f'{{"{ADMIN}": "', password, '"}\n')}


@lru_cache(maxsize=1024)
def _login_digest(password: SecretRef) -> str:
    """Every process of a deployment asks for it."""
    return digest(_login_files(password))


@lru_cache(maxsize=1024)
def _settings_digest(major: int, executor: str, dags_folder: str) -> str:
    """Every process of a deployment asks for it, and fleets have few kinds of settings."""
    return digest(_settings_files(major, executor, dags_folder))


def _config(generation: Generation, executor: str, dags_folder: str) -> Text:
    """`airflow.cfg`: what more than one process reads and is no secret."""
    api, listen = AddressRef(API_SERVER, "http"), AddressRef(API_SERVER, "http", "listen")
    lines: tuple[str | AddressRef | PathRef, ...] = (
        "# Written by Armillary. Changes here are drift and are undone: change the deployment instead.\n",
        "[core]\n",
        f"executor = {executor}\n",
        f"dags_folder = {_escaped(dags_folder)}\n",
        "load_examples = False\n",
        "hostname_callable = armillary_host.name\n",
        *generation.own_config(api, listen, PathRef(LOGIN, "passwords.json"), ADMIN),
        "\n\n[database]\nload_default_connections = False\n\n[logging]\nbase_log_folder = ",
        PathRef(LOGS),
        "\nworker_log_server_port = ",
        AddressRef(SCHEDULER, "logs", "port"),
        "\n\n[scheduler]\nenable_health_check = True\nscheduler_health_check_server_host = ",
        AddressRef(SCHEDULER, "health", "listen"),
        "\nscheduler_health_check_server_port = ",
        AddressRef(SCHEDULER, "health", "port"),
        f"\n{generation.scheduler_config}",
    )
    return lines


def _escaped(path: str) -> str:
    """A value for airflow.cfg, in which a lone % would be read as the start of an interpolation."""
    return path.replace("%", "%%")


def connection(facts: Facts, spec: Spec, *, migrates: bool) -> Text:
    """Airflow's database URL: the role that migrates may change tables, the one that runs may not."""
    role, secret = ("owner", "database-owner") if migrates else ("user", "database-user")
    return text(
        f"postgresql+psycopg2://{role_name(spec, role)}:",
        facts.secret(secret),
        "@",
        AddressRef(DATABASE, "postgres"),
        f"/{spec.release}",
    )


def role_name(spec: Spec, role: str) -> str:
    """The PostgreSQL role of a deployment: `<release>` runs, `<release>-owner` migrates."""
    return spec.release if role == "user" else f"{spec.release}-owner"


def common_env(spec: Spec, facts: Facts, *, migrates: bool = False) -> dict[str, Text]:
    """The environment that every Airflow process of a deployment shares."""
    return {
        "AIRFLOW_HOME": text(PathRef(HOME)),
        "AIRFLOW_CONFIG": text(PathRef(SETTINGS, "airflow.cfg")),
        "PYTHONPATH": text(PathRef(SETTINGS)),
        "PYTHONUNBUFFERED": text("1"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": connection(facts, spec, migrates=migrates),
        "AIRFLOW__CORE__FERNET_KEY": _fernet_keys(facts),
        **{setting: text(facts.secret(secret)) for setting, secret in generation_of(spec).secrets.items()},
    }


def fernet_milestone(version: int) -> str:
    """What is achieved when everything is encrypted with this version of the fernet key."""
    return f"fernet/{version}"


def first_version(newest: int) -> int:
    """The first version of a generated secret whose newest is this one.

    Its thousands are drawn by lot (state/secrets.py): what is made anew where a backup has lost it must not come
    again under a version that the world knows.
    """
    return (newest - 1) // 1000 * 1000 + 1


def _fernet_keys(facts: Facts) -> Text:
    """The newest key, then every older one that something may still be encrypted with."""
    newest = facts.secrets.get(FERNET_KEY, 1)
    rotated = int((facts.milestone(ROTATE).key or fernet_milestone(1)).rpartition("/")[2])
    oldest = max(first_version(newest), rotated)
    keys: list[str | SecretRef] = [facts.secret(FERNET_KEY)]
    for version in range(newest - 1, oldest - 1, -1):
        keys += [",", facts.versioned(FERNET_KEY, version)]
    return tuple(keys)


def variables_env(spec: Spec, facts: Facts, component: str) -> dict[str, Text]:
    """The deployment's own variables, as far as a component reads them."""
    return {
        key: _value(key, variable, facts)
        for key, variable in spec.variables.items()
        if not variable.components or component in variable.components
    }


def _value(key: str, variable: Variable, facts: Facts) -> Text:
    match variable:
        case PlainVariable(value=value):
            return text(value)
        case SecretVariable(version=version):
            # Version 0 is not sealed yet: the process gets it when it is, in a new generation.
            return text(facts.versioned(f"variable/{key}", version)) if version else text("")


def mounts(spec: Spec, facts: Facts) -> tuple[Mount, ...]:
    """The files that every Airflow process reads, with their digests, so that changing them restarts it."""
    return (
        Mount(unit=SETTINGS, holds="settings", digest=_settings_digest(*_settings_key(spec))),
        Mount(unit=LOGIN, holds="credentials", digest=_login_digest(facts.secret("admin-password"))),
        Mount(unit=HOME),
        Mount(unit=LOGS),
    )


NEEDS_TO_START = frozenset(
    {
        Need(ENVIRONMENT, "ready"),
        Need(SETTINGS, "ready"),
        Need(LOGIN, "ready"),
        Need(HOME, "present"),
        Need(LOGS, "present"),
        Need(DATABASE, "ready"),
    }
)
"""What any Airflow command needs before it may be started or changed."""


def monitored_by_api_server(spec: Spec, what: str) -> Probe:
    """A probe for what Airflow itself watches by heartbeats: the api-server's health document tells."""
    return Probe(
        unit=API_SERVER,
        port="http",
        path=generation_of(spec).health,
        expect={f"/{what}/status": "healthy"},
    )


def airflow_process(
    name: str,
    command: tuple[str, ...],
    spec: Spec,
    facts: Facts,
    *,
    env: Mapping[str, Text],
    probe: Probe | None,
    ports: Mapping[str, int],
) -> Process:
    """One of Airflow's processes, with everything they all have in common."""
    own: ComponentSpec = spec.components[name]
    return Process(
        name=name,
        component=name,
        needs=NEEDS_TO_START | {Need(MIGRATE, "done")},
        image=image_of(spec),
        command=command,
        env={**variables_env(spec, facts, name), **common_env(spec, facts), **env},
        replicas=own.replicas,
        ports=ports,
        probe=probe,
        stop=StopBy(grace_seconds=float(own.grace_seconds)),
        mounts=mounts(spec, facts),
        resources=Resources(cpu_millicores=own.cpu_millicores, memory_mib=own.memory_mib),
        restarted_at=spec.restarted_at,
    )
