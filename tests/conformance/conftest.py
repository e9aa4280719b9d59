from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from state.embedded import Embedded
from tests.apiserver.server import Server
from tests.conformance.kubernetes_rig import KubernetesRig
from tests.conformance.rig import Rig
from tests.conformance.rigs import LocalRig, PostgresRig, SimulationRig
from tests.drivers.postgres.relay import Relay

DRIVERS = [
    "simulation",
    "postgres",
    "local",
    "simulated kubernetes",
    pytest.param("kubernetes", marks=pytest.mark.cluster),
]


@pytest.fixture(params=DRIVERS)
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
        case "kubernetes" | "simulated kubernetes":
            cluster = "kubeconfig" if request.param == "kubernetes" else "simulated_kubeconfig"
            one = KubernetesRig(request.getfixturevalue(cluster), tmp_path)
            await one.start()
        case _:
            one = LocalRig(tmp_path)
    await one.driver.open()
    yield one
    await one.clean()


@pytest.fixture
def simulated_kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """A simulated API server that does nothing wrong."""
    with Server.started() as server:
        path = tmp_path / "simulated.kubeconfig"
        path.write_text(server.kubeconfig())
        yield path
