"""Every mutant is really one, and the simulation sees the plain ones within a few lives."""

from __future__ import annotations

import pytest

from .catalogue import MUTANTS
from .hunt import hunt
from .known import known, note


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_changes_what_it_names_and_leaves_nothing_behind(mutant):
    places = [one.holder() for one in mutant.patches]
    before = [vars(holder)[name] for holder, name in places]
    with mutant.applied():
        inside = [vars(holder)[name] for holder, name in places]
    assert all(new is not old for new, old in zip(inside, before, strict=True))
    assert [vars(holder)[name] for holder, name in places] == before


def test_every_mutant_has_a_name_of_its_own():
    assert len({one.name for one in MUTANTS}) == len(MUTANTS) >= 30


@pytest.mark.parametrize("name", ["delete-without-uid", "synced-whatever", "no-resync"])
def test_a_plain_mutant_is_caught_within_a_few_lives(name):
    assert hunt(name, seeds=20).seed is not None


def test_what_showed_a_mutant_is_noted_and_what_is_known_of_others_stays(tmp_path):
    file = tmp_path / "seeds.txt"
    file.write_text("")
    note({"one": 7}, file)
    note({"two": 8, "one": 9}, file)

    assert known(file) == {"one": 9, "two": 8}
    assert known().keys() <= {one.name for one in MUTANTS}
