"""What people ask of a deployment from day to day, and every pass that follows, as text."""

from __future__ import annotations

import pytest

from model.names import SecretRef
from model.spec import ComponentSpec, PlainVariable

from .lives import Life, grown, live, new, rendered, tale
from .sketch import spec

BORN = grown(spec())
ASLEEP = live(BORN.change(hibernated=True)).end


def components(**replicas: int) -> dict[str, ComponentSpec]:
    return {
        **spec().components,
        **{name.replace("_", "-"): ComponentSpec(replicas=count) for name, count in replicas.items()},
    }


def scaled(life: Life, **replicas: int) -> Life:
    return life.change(components=components(**replicas))


TWO_SCHEDULERS = live(scaled(BORN, scheduler=2)).end
NO_TRIGGERER = live(scaled(BORN, triggerer=0)).end
WITH_KEY_2 = BORN.ask(secrets={**BORN.before.secrets, "fernet-key": 2})
POLL = PlainVariable(value="1", components=("triggerer",))
GREETING = PlainVariable(value="hi")

STORIES = (
    (
        "create",
        new(spec()),
        """
        1   Create environment, database [generation]
            later Create settings, login, home, logs, migrate, api-server, scheduler, dag-processor,
              triggerer
        2   Create settings, login, home, logs [generation]
            later Create migrate, api-server, scheduler, dag-processor, triggerer
        3   Create migrate [generation]
            later Create api-server, scheduler, dag-processor, triggerer
        4-5 under way migrate
            later Create api-server, scheduler, dag-processor, triggerer
        6   Create api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "nothing is asked",
        BORN,
        """
        so: Converged, Healthy
        """,
    ),
    (
        "scale up",
        scaled(BORN, scheduler=2),
        """
        1   Update scheduler [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "scale down",
        scaled(TWO_SCHEDULERS, scheduler=1),
        """
        1   Update scheduler [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "scale to zero",
        scaled(BORN, triggerer=0),
        """
        1   Update triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "scale back from zero",
        scaled(NO_TRIGGERER, triggerer=1),
        """
        1   Update triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a variable that all read",
        BORN.change(variables={"GREETING": PlainVariable(value="hello")}),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a variable that one component reads",
        BORN.change(variables={"GREETING": GREETING, "POLL": POLL}),
        """
        1   Update triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a setting of one component",
        BORN.change(
            components={**components(), "scheduler": ComponentSpec(settings={"parallelism": 8})},
        ),
        """
        1   Update scheduler [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "the DAGs folder, which stands in airflow.cfg, which all read",
        BORN.change(dags_folder="/srv/other"),
        """
        1   Update settings [generation]
            later Update api-server, scheduler, dag-processor, triggerer
        2   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a restart",
        BORN.change(restarted_at="2026-11-22T12:00:00+00:00"),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a rename: the release stays, so nothing restarts",
        BORN.change(name="goodbye"),
        """
        so: Converged, Healthy
        """,
    ),
    (
        "hibernate",
        BORN.change(hibernated=True),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Stopped
        """,
    ),
    (
        "wake",
        ASLEEP.change(hibernated=False),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "wake with another variable",
        ASLEEP.change(hibernated=False, variables={}),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a newer fernet key",
        WITH_KEY_2,
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
            later Create rotate
        2   Create rotate [generation]
        3-4 under way rotate
        5   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
    (
        "a still newer fernet key while the last one is being rotated to",
        live(WITH_KEY_2, passes=2).end.ask(secrets={**BORN.before.secrets, "fernet-key": 3}),
        """
        1   Update api-server, scheduler, dag-processor, triggerer [generation]
            under way rotate
        2   Replace rotate [generation]
        3-4 under way rotate
        5   Update api-server, scheduler, dag-processor, triggerer [generation]
        so: Converged, Healthy
        """,
    ),
)


@pytest.mark.parametrize(("start", "story"), [one[1:] for one in STORIES], ids=[one[0] for one in STORIES])
def test_a_wish_is_followed_pass_by_pass_until_nothing_is_left_to_do(start, story):
    assert live(start).text == tale(story)


def fernet_keys(life: Life) -> set[tuple[int, ...]]:
    """The versions of the fernet key that each process which is there knows, newest first."""
    known = (
        one.env["AIRFLOW__CORE__FERNET_KEY"]
        for one in rendered(life.before).units
        if one.name in ("api-server", "scheduler", "dag-processor", "triggerer")
    )
    return {tuple(part.version for part in value if isinstance(part, SecretRef)) for value in known}


def test_while_the_fernet_key_is_rotated_every_process_knows_both_keys_and_then_only_the_newer():
    story = live(WITH_KEY_2)

    assert [fernet_keys(life) for life in story.lives] == [{(2, 1)}] * 4 + [{(2,)}] * 3


@pytest.mark.parametrize("start", [BORN, TWO_SCHEDULERS, NO_TRIGGERER, ASLEEP])
def test_rollback_to_a_complete_earlier_spec_brings_back_exactly_what_was_there(start):
    changed = live(
        start.change(
            variables={},
            components=components(scheduler=3, triggerer=2),
            airflow_version="3.4.0",
            hibernated=False,
        )
    ).end
    back = live(changed.ask(start.before.spec)).end

    assert {ref: one.digest for ref, one in back.there.items() if ref.kind != "Task"} == {
        ref: one.digest for ref, one in start.there.items() if ref.kind != "Task"
    }
    assert {row.ref for row in back.before.inventory} == {row.ref for row in start.before.inventory}
    assert back.running == start.running


@pytest.mark.parametrize(
    "start",
    [one[1] for one in STORIES if "key" not in one[0]],
    ids=[one[0] for one in STORIES if "key" not in one[0]],
)
def test_a_wish_taken_back_at_any_pass_leaves_what_was_there_before(start):
    for life in live(start).lives:
        back = live(life.ask(spec())).end

        assert back.before.status.condition("Ready").status == "True"
        assert {ref: one.digest for ref, one in back.there.items()} == {
            ref: one.digest for ref, one in BORN.there.items()
        }


def test_after_any_story_the_inventory_names_what_is_there_and_nothing_else():
    for _, start, _ in STORIES:
        end = live(start).end

        assert {row.ref for row in end.before.inventory} == set(end.there)
        assert all(end.there[row.ref].digest == row.digest for row in end.before.inventory)
        assert all(end.there[row.ref].uid == row.uid for row in end.before.inventory)


def test_the_data_of_a_deployment_is_the_same_through_every_story():
    data = {ref for ref in BORN.there if ref.kind in ("Database", "Volume")}
    for _, start, _ in STORIES[1:]:
        for life in live(start).lives:
            assert {ref: life.there[ref].uid for ref in data} == {ref: BORN.there[ref].uid for ref in data}
