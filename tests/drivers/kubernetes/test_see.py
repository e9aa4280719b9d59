"""How objects look: health, what still runs, and what holds up a deletion."""

from typing import Any

import pytest

from drivers.kubernetes.names import DIGEST, Place, place_of, ref_of
from drivers.kubernetes.see import see
from model.objects import Health


def live(kind: str, *, spec: Any = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    usual = {"uid": "u", "name": "x", "generation": 2, "annotations": {DIGEST: "d"}}
    return {"kind": kind, "metadata": {**usual, **metadata}, "spec": spec or {}, "status": status or {}}


def deployment(asked: int, *, generation: int = 2, **status: Any) -> dict[str, Any]:
    return live("Deployment", spec={"replicas": asked}, status={"observedGeneration": generation, **status})


def condition(kind: str, status: str = "True") -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "message": "because"}]}


WELL = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
HEALTHS = {
    "all pods are new and ready": (deployment(2, **WELL), 2, Health.HEALTHY),
    "its change was not seen yet": (deployment(2, generation=1, **WELL), 2, Health.PROGRESSING),
    "an old pod is still there": (deployment(2, **{**WELL, "replicas": 3}), 3, Health.PROGRESSING),
    "one is not ready": (deployment(2, **{**WELL, "availableReplicas": 1}), 2, Health.PROGRESSING),
    "its rollout does not end": (deployment(2, **condition("Progressing", "False")), 2, Health.UNHEALTHY),
    "its pods are refused": (deployment(2, **condition("ReplicaFailure")), 0, Health.UNHEALTHY),
    "none is asked and none runs": (deployment(0), 0, Health.STOPPED),
    "none is asked and one still ends": (deployment(0), 1, Health.PROGRESSING),
    "a job that did it": (live("Job", status=condition("Complete")), 0, Health.DONE),
    "a job that failed": (live("Job", status=condition("Failed")), 0, Health.FAILED),
    "a job on its way": (live("Job"), 1, Health.PROGRESSING),
    "a job that was stopped": (live("Job", spec={"suspend": True}), 0, Health.STOPPED),
    "a claim without a pod": (live("PersistentVolumeClaim", status={"phase": "Pending"}), 0, Health.HEALTHY),
    "a claim whose volume is lost": (live("PersistentVolumeClaim", status={"phase": "Lost"}), 0, Health.UNHEALTHY),
    "a namespace that goes": (live("Namespace", status={"phase": "Terminating"}), 0, Health.PROGRESSING),
    "a file": (live("ConfigMap"), 0, Health.HEALTHY),
}


@pytest.mark.parametrize("what", HEALTHS)
def test_health_is_told_and_explained(what):
    found, pods, health = HEALTHS[what]
    seen = see(ref_of(Place(kind=found["kind"], namespace="n", name="x"), "east"), found, None, pods)

    assert seen.health is health
    assert seen.running == pods
    assert bool(seen.detail) is (health in (Health.PROGRESSING, Health.UNHEALTHY, Health.FAILED)) or seen.detail


def test_what_goes_is_not_as_applied_and_names_who_holds_it():
    found = live("ConfigMap", deletionTimestamp="2026-11-22T12:00:00Z", finalizers=["example.org/keep"])
    seen = see(ref_of(Place(kind="ConfigMap", namespace="n", name="x"), "east"), found, None, 0)

    assert seen.digest is None
    assert "example.org/keep" in seen.detail


@pytest.mark.parametrize("place", [("Namespace", "", "x"), ("Secret", "n", "x-env")])
def test_the_name_of_an_object_says_where_it_stands(place):
    kind, namespace, name = place
    one = Place(kind=kind, namespace=namespace, name=name)

    assert place_of(ref_of(one, "east")) == one
    assert place_of(ref_of(one, "")) == one
