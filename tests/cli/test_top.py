"""`top`: what is between two looks at what units use."""

from __future__ import annotations

import pytest

from cli import top
from cli.errors import NotFound
from tests.cli.conftest import answer

GIB = 2**30


def look(seconds: float, **cpu: float):
    units = [
        {"unit": unit, "processes": 2, "cpu_seconds": spent, "memory_bytes": GIB} for unit, spent in cpu.items()
    ]
    return {"demo/hello": {"seconds": seconds, "units": units}}


def test_the_busiest_comes_first_in_percent_of_one_processor():
    rows = top.between(look(10.0, scheduler=5.0, worker=1.0), look(12.0, scheduler=5.5, worker=4.0))

    assert [(row.unit, row.cpu_percent, row.memory_mib) for row in rows] == [
        ("worker", 150.0, 1024),
        ("scheduler", 25.0, 1024),
    ]


@pytest.mark.parametrize("before", [{}, look(10.0), look(10.0, scheduler=99.0)])
def test_what_was_not_there_before_or_began_anew_counts_from_now(before):
    (row,) = top.between(before, look(12.0, scheduler=1.0))

    assert row.cpu_percent == 0.0


async def test_a_deployment_that_goes_while_we_look_is_left_out_unless_it_was_asked_for(client):
    async def handler(request):
        match request.path.rsplit("/", 2)[-2:]:
            case [_, "deployments"]:
                return answer(200, [{"workspace": "demo", "name": "hello"}, {"workspace": "demo", "name": "gone"}])
            case ["hello", "usage"]:
                return answer(200, look(1.0)["demo/hello"])
            case _:
                return answer(404, {"title": "Not found", "detail": "There is no deployment demo/gone."})

    api = await client(handler)

    assert list(await top._look(api, "")) == ["demo/hello"]
    with pytest.raises(NotFound):
        await top._look(api, "demo/gone")
