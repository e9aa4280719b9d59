from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.drivers.local.world import VERSION, World, fake_runtime, make_driver


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A home with a runtime in place, and an open driver on it. Everything it started is ended afterwards."""
    home = tmp_path / "home"
    lock = tmp_path / "lock.txt"
    lock.write_text("# nothing to install\n")
    fake_runtime(home, lock)
    driver = make_driver(home, {VERSION: lock})
    await driver.open()
    one = World(home=home, locks={VERSION: lock}, driver=driver)
    yield one
    await one.clean()
