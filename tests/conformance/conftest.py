from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from state.embedded import Embedded
from tests.conformance.kubernetes_rig import KubernetesRig
from tests.conformance.rig import Rig
from tests.conformance.rigs import LocalRig, PostgresRig, SimulationRig
from tests.drivers.postgres.relay import Relay


@pytest.fixture(params=["simulation", "postgres", "local", pytest.param("kubernetes", marks=pytest.mark.cluster)])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    """Each driver in turn, open, in an empty world of its own."""
    one: Rig
    match request.param:
        case "simulation":
            one = SimulationRig()
        case "postgres":
            server: Embedded = request.getfixturevalue("postgres_server")
            relay = Relay("127.0.0.1", server.port)
            await relay.open()
            one = PostgresRig(request.getfixturevalue("postgres_url"), relay)
        case "kubernetes":
            one = KubernetesRig(request.getfixturevalue("kubeconfig"), tmp_path)
            await one.start()
        case _:
            one = LocalRig(tmp_path)
    await one.driver.open()
    yield one
    await one.clean()
