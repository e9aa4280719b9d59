"""What is no longer desired goes when what stands has been changed, not merely when that was tried."""

from __future__ import annotations

from dataclasses import replace

from drivers.base import Refused
from model.names import Ref, text
from model.plan import Update
from model.spec import ComponentSpec, Spec
from model.units import AnyUnit, Settings
from reconciler.components import CATALOG
from reconciler.components.component import Component, Facts
from reconciler.render import Desires

from .memory import Life, life

EXTRA = Ref("Sim.Settings", "demo-hello.extra")


def of_celery(spec: Spec, facts: Facts) -> tuple[AnyUnit, ...]:
    if spec.executor != "CeleryExecutor":
        return ()
    return (Settings(name="extra", component="extra", files={"queue": text("default")}),)


async def leaving_celery() -> Life:
    one = life()
    catalog = {**CATALOG, "extra": Component(name="extra", position=8, render=of_celery)}
    one.tools = replace(one.tools, desires=Desires(catalog=catalog))
    local = one.memory.row.spec
    theirs = {name: ComponentSpec() for name in ("redis", "worker", "flower")}
    one.memory.ask(replace(local, executor="CeleryExecutor", components={**local.components, **theirs}))
    await one.settle()
    one.memory.ask(local)
    return one


async def test_it_stays_while_a_change_of_what_stands_is_refused():
    one = await leaving_celery()
    [driver] = one.tools.drivers
    apply = driver.apply

    async def refusing(owner, action):
        if action.unit == "scheduler" and isinstance(action, Update):
            raise Refused("422: not now")
        return await apply(owner, action)

    driver.apply = refusing
    for _ in range(8):
        await one.one_pass()
        await one.memory.clock.sleep(30.0)

    assert one.world.thing(EXTRA) is not None


async def test_it_goes_when_all_is_changed():
    one = await leaving_celery()
    await one.settle()

    assert one.world.thing(EXTRA) is None
