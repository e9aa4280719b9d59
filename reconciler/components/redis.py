"""redis: the broker of the CeleryExecutor, in which tasks wait until a worker takes them. It is a Valkey.

Settings: `persistence` (1: what waits there survives its end, the default; 0: it is in memory alone). Its password
is in a file that nobody else may read, never in a command.
"""

from __future__ import annotations

from collections.abc import Mapping

from model.digest import digest
from model.names import AddressRef, PathRef, Text, text
from model.spec import Spec
from model.units import (
    AnyUnit,
    Credentials,
    Exchange,
    Mount,
    Need,
    Process,
    Resources,
    StopBy,
    Volume,
)
from reconciler.components.airflow import ENVIRONMENT
from reconciler.components.celery import BROKER, BROKER_DATA, BROKER_IMAGE, BROKER_PASSWORD, CELERY, REDIS
from reconciler.components.component import Component, Facts

_CONFIGURATION = "valkey.conf"
_START = 'exec valkey-server "$BROKER_CONFIGURATION"'
_PRESENT = frozenset({Need(ENVIRONMENT, "present")})
_NEEDS = frozenset({Need(ENVIRONMENT, "ready"), Need(BROKER, "ready"), Need(BROKER_DATA, "present")})


def render(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    """Its configuration, the folder of its data, and the process."""
    own, here = spec.components[REDIS], COMPONENT.name
    files = _files(facts, persists=bool(own.settings.get("persistence", 1)))
    return (
        Volume(name=BROKER_DATA, component=here, needs=_PRESENT),
        Credentials(name=BROKER, component=here, needs=_PRESENT, files=files),
        Process(
            name=REDIS,
            component=here,
            needs=_NEEDS,
            image=BROKER_IMAGE,
            command=("/bin/sh", "-c", _START),
            env={"BROKER_CONFIGURATION": text(PathRef(BROKER, _CONFIGURATION))},
            replicas=own.replicas,
            ports={"broker": 6379},
            # who has not said the password is told so: that needs a server that works
            probe=Exchange(unit=REDIS, port="broker", say="PING\r\n", hear="-NOAUTH"),
            stop=StopBy(grace_seconds=float(own.grace_seconds)),
            mounts=(Mount(unit=BROKER, holds="credentials", digest=digest(files)), Mount(unit=BROKER_DATA)),
            resources=Resources(cpu_millicores=own.cpu_millicores, memory_mib=own.memory_mib),
            restarted_at=spec.restarted_at,
            alone=True,
        ),
    )


def _files(facts: Facts, *, persists: bool) -> Mapping[str, Text]:
    configuration = text(
        "# Written by Armillary. Changes here are drift and are undone: change the deployment instead.\nbind ",
        AddressRef(REDIS, "broker", "listen"),
        "\nport ",
        AddressRef(REDIS, "broker", "port"),
        '\nrequirepass "',
        facts.secret(BROKER_PASSWORD),
        '"\ndir "',
        PathRef(BROKER_DATA),
        f'"\nappendonly {"yes" if persists else "no"}\nsave ""\nmaxmemory-policy noeviction\n',
    )
    return {_CONFIGURATION: configuration}


COMPONENT = Component(name=REDIS, position=3, render=render, secrets=(BROKER_PASSWORD,), executors=(CELERY,))
