"""Wrong statements in psql: each says what was wrong, where, and what to do; nothing changes and no daemon notices.

`make wrong-statements` prints the catalogue with the answers.
"""

# ruff: noqa: E501 -- SQL, and what is said with it, reads better on one line

from __future__ import annotations

import os

import psycopg
import pytest

from tests.sql.wrong import answer_to, digest, faults, fill, people
from tests.sql.wrong_deployments import DEPLOYMENTS
from tests.sql.wrong_parts import PARTS
from tests.sql.wrong_reach import REACH
from tests.state.fleet import rows

CATALOGUE = DEPLOYMENTS + PARTS + REACH


@pytest.fixture(scope="module")
def urls(make_database, template_database):
    """One filled database for all, since nothing is ever changed, and people of every role."""
    with make_database(template_database) as url, people(url, str(os.getpid())) as urls:
        fill(url)
        yield urls | {"superuser": url}


@pytest.fixture(scope="module")
def eye(urls):
    """A superuser's session that hears what a daemon would be told."""
    with psycopg.connect(urls["superuser"], autocommit=True) as eye:
        eye.execute("LISTEN armillary")
        yield eye


def test_the_catalogue_is_large_and_each_case_has_its_name():
    assert len(CATALOGUE) >= 80
    assert len({case.name for case in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("case", CATALOGUE, ids=[case.name for case in CATALOGUE])
def test_a_wrong_statement_says_what_to_do_and_changes_nothing(urls, eye, case):
    before = digest(eye)

    answer = answer_to(case, urls)

    assert faults(case, answer) == []
    assert digest(eye) == before


def test_the_daemon_has_nothing_to_do_after_all_of_them_and_was_not_told(eye):
    assert rows(eye, "SELECT * FROM core.due()") == []
    assert [one.payload for one in eye.notifies(timeout=0.5)] == []


def test_a_daemon_would_have_been_told_of_a_right_one(urls, eye):
    with psycopg.connect(urls["armillary_admin"], autocommit=True) as admin:
        admin.execute("SELECT armillary.restart('demo/hello')")

    assert len(rows(eye, "SELECT * FROM core.due()")) == 1
    assert len(list(eye.notifies(timeout=5.0, stop_after=1))) == 1
