"""Two administrators at once: whoever must give way is told why, and nothing of hers was done."""

from __future__ import annotations

import os

import psycopg
import pytest

from tests.sql.meetings import MEETINGS, meet
from tests.sql.wrong import faults, fill, people
from tests.state.fleet import one


@pytest.fixture(scope="module")
def urls(make_database, template_database):
    """A filled database, and two administrators."""
    number = str(os.getpid())
    with (
        make_database(template_database) as url,
        people(url, f"m{number}") as urls,
        people(url, f"n{number}") as others,
    ):
        fill(url)
        with psycopg.connect(url, autocommit=True) as sql:
            sql.execute("INSERT INTO armillary.workspaces (name) VALUES ('idle')")
        yield urls | {"other": others["armillary_admin"], "superuser": url}


@pytest.mark.parametrize("meeting", MEETINGS, ids=[meeting.case.name for meeting in MEETINGS])
def test_who_must_give_way_is_told_and_did_nothing(urls, meeting):
    with psycopg.connect(urls["superuser"], autocommit=True) as eye:
        answer = meet(meeting, urls, eye)

        assert faults(meeting.case, answer) == []
        ours = psycopg.conninfo.conninfo_to_dict(urls["armillary_admin"])["user"]
        assert one(eye, "SELECT count(*) FROM core.audit WHERE session_role = %s", ours) == 0
