from collections.abc import AsyncIterator

import pytest

from tests.drivers.postgres.world import World


@pytest.fixture
async def world(postgres_url: str) -> AsyncIterator[World]:
    """A driver on the session's real server; whatever it made is removed afterwards."""
    one = World(url=postgres_url)
    await one.driver.open()
    yield one
    await one.driver.close()
    one.clean()
