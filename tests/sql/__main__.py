"""Prints the catalogue of wrong statements with the answers that a real server gives: `make wrong-statements`.

Ends with 1 when an answer is not what the catalogue says, or a statement changed something.
"""

# ruff: noqa: T201 -- it prints

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from state.embedded import prepare
from state.migrate import migrate
from tests.conftest import running
from tests.sql.meetings import MEETINGS, Meeting, meet
from tests.sql.test_wrong_statements import CATALOGUE
from tests.sql.wrong import Answer, Wrong, answer_to, digest, faults, fill, people


def main() -> int:
    """Run all of it, or those whose names hold the first argument."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    number = str(os.getpid())
    with (
        _database() as url,
        people(url, number) as urls,
        people(url, f"other_{number}") as others,
        psycopg.connect(url, autocommit=True) as eye,
    ):
        fill(url)
        eye.execute("INSERT INTO armillary.workspaces (name) VALUES ('idle')")
        state = digest(eye)
        short = 0
        for case in (one for one in CATALOGUE if wanted in one.name):
            answer = answer_to(case, urls)
            unchanged = digest(eye) == state
            short += _print(case, answer, faults(case, answer) + ([] if unchanged else ["it changed something"]))
        for meeting in (one for one in MEETINGS if wanted in one.case.name):
            answer = meet(meeting, urls | {"other": others["armillary_admin"]}, eye)
            short += _print(meeting.case, answer, faults(meeting.case, answer), meeting)
    print(f"{len(CATALOGUE) + len(MEETINGS)} in the catalogue; {short} answered otherwise than they should be")
    return int(short > 0)


@contextmanager
def _database() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="armillary-wrong-"))
    folder.chmod(0o755)
    try:
        server = prepare(folder / "home")
        with running(server, folder / "postgres.log"):
            url = server.url_of("wrong")
            with psycopg.connect(server.url_of("postgres"), autocommit=True) as sql:
                sql.execute("CREATE DATABASE wrong")
            asyncio.run(migrate(url))
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _print(case: Wrong, answer: Answer, told: list[str], meeting: Meeting | None = None) -> bool:
    print(f"{case.name} ({case.role})")
    for statement in meeting.first if meeting else ():
        print(_cut(f"=> {statement};"))
    for statement in meeting.other if meeting else ():
        print(_cut(f"another session => {statement};"))
    for statement in case.statements:
        print(_cut(f"=> {statement};"))
    for statement in (meeting.then, meeting.ends) if meeting else ():
        print(_cut(f"another session => {statement};") if statement else "", end="\n" if statement else "")
    print(_cut(f"ERROR {answer.code}:  {answer.message}"))
    for label, said in (
        ("DETAIL", answer.detail),
        ("HINT", answer.hint),
        ("(PostgreSQL's own, because", case.raw and f"{case.raw})"),
    ):
        if said:
            print(_cut(f"{label}:  {said}"))
    for one in told:
        print(f"   !! {one}")
    print()
    return bool(told)


def _cut(line: str) -> str:
    return "   " + textwrap.shorten(line, 400, placeholder=" …")


sys.exit(main())
