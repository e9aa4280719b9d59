"""The same change by HTTP and by SQL is the same: answers, spec, generation, revisions, audit, what becomes of it.

`ARMILLARY_TEST_SEQUENCES=2000 make test ARGS=tests/sql/test_same.py` draws more sequences than the ordinary run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from tests.conftest import MakeDatabase
from tests.sql.draws import sequences
from tests.sql.fleets import Fleets
from tests.sql.twins import Step, call, delete, make_deployment, make_workspace, put_variable

SEQUENCES = int(os.environ.get("ARMILLARY_TEST_SEQUENCES", "60"))
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.fixture(scope="module")
def fleets(make_database: MakeDatabase, template_database: str) -> Iterator[Fleets]:
    with make_database(template_database) as by_http, make_database(template_database) as by_sql:
        both = Fleets(by_http, by_sql)
        try:
            yield both
        finally:
            both.close()


@pytest.mark.timeout(3600)
@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=QUIET)
@given(steps=sequences())
def test_a_sequence_of_changes_is_the_same_by_http_and_by_sql(fleets: Fleets, steps: list[Step]) -> None:
    fleets.play(steps)


def test_a_new_deployment_with_the_name_of_one_being_deleted_is_the_only_one_that_is_changed(
    fleets: Fleets,
) -> None:
    begin = [make_workspace("ads", ""), make_deployment("ads", "one", {}, {}, {"A": {"value": "old"}})]
    again = [delete("ads", "one"), make_deployment("ads", "one", {}, {}, {"A": {"value": "new"}})]

    fleets.play([*begin, *again, put_variable("ads", "one", "A", {"value": "newer"})])


def test_a_reason_without_a_pause_is_cleared_by_resuming(fleets: Fleets) -> None:
    begin = [make_workspace("ads", ""), make_deployment("ads", "one", {"pause_reason": "left"}, {}, {})]

    fleets.play([*begin, call("ads", "one", {"paused_until": None, "pause_reason": None}, "resume")])


@pytest.mark.timeout(3600)
@settings(max_examples=max(4, SEQUENCES // 15), deadline=None, suppress_health_check=QUIET)
@given(steps=sequences(by_function=False))
def test_what_the_daemon_makes_of_a_sequence_is_the_same(fleets: Fleets, steps: list[Step]) -> None:
    fleets.play(steps)
    fleets.converge()

    fleets.compare(also_observed=True)
