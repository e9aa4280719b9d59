"""What was applied and what is there: each field of ours counts, and what others add counts where it matters."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.kubernetes.compare import differences, extras, with_nothing_else
from drivers.kubernetes.encode import manifest_of
from drivers.kubernetes.settings import Settings as ClusterSettings
from drivers.kubernetes.translate import translate
from model.names import Owner, SecretRef, text
from model.objects import Object, Site
from model.units import Credentials, Environment, Mount, Process, Resources, Settings, Task, Volume

OWNER = Owner("deployment", "7")
SITE = Site(
    installation="here",
    cluster="east",
    owner=OWNER,
    release="demo-hello-7",
    root="",
    ports={("scheduler", "health"): 8974, ("scheduler", "logs"): 8793},
)
SECRET = SecretRef(str(OWNER), "password", 1)
UNITS = (
    Environment(name="environment", component="environment", image="airflow:1"),
    Settings(name="settings", component="environment", files={"airflow.cfg": text("a = 1"), "b": text("2")}),
    Credentials(name="login", component="environment", files={"key": text("x", SECRET)}),
    Volume(name="logs", component="environment"),
    Process(
        name="scheduler",
        component="scheduler",
        image="airflow:1",
        command=("airflow", "scheduler"),
        env={"PLAIN": text("1"), "KEY": text(SECRET)},
        ports={"health": 8974, "logs": 8793},
        mounts=(Mount(unit="settings", holds="settings", digest="d"), Mount(unit="logs")),
        resources=Resources(cpu_millicores=500, memory_mib=1024),
    ),
    Task(name="migrate", component="migrate", image="airflow:1", command=("do",), env={}, key="schema/1"),
)


BOUNDED = ClusterSettings(quota={"requests.cpu": "8", "pods": "20"}, container={"cpu": "500m", "memory": "2Gi"})


def objects() -> list[Object]:
    return [one for unit in UNITS for one in translate(unit, SITE, BOUNDED)]


APPLIED = {str(one.ref): manifest_of(one, OWNER, "here") for one in objects()}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything that a manifest says."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for name, one in inside for leaf in leaves(one, (*path, name))]
    return found or ([path] if value not in ({}, []) else [])


LEAVES = [
    (name, path)
    for name, manifest in APPLIED.items()
    for path in leaves(manifest)
    if path[0] not in ("apiVersion", "kind") and path[:2] not in (("metadata", "name"), ("metadata", "namespace"))
]


def defaulted(manifest: dict[str, Any]) -> dict[str, Any]:
    """As the server answers: with its own fields, and those that it fills in."""
    live: dict[str, Any] = json.loads(json.dumps(manifest))
    live["metadata"] |= {"uid": "u", "resourceVersion": "1", "generation": 1}
    live["metadata"].setdefault("labels", {})["theirs"] = "1"
    live["metadata"].setdefault("annotations", {})["example.org/theirs"] = "1"
    live["status"] = {"phase": "Active"}
    for container in live.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        container |= {"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log"}
    return live


def edited(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}-edited"


@pytest.mark.parametrize("name", APPLIED)
def test_what_is_there_as_applied_has_no_difference_whatever_the_server_and_others_add(name):
    applied = APPLIED[name]
    kind = applied["kind"]

    assert differences(applied, defaulted(applied), kind) == ()
    assert extras(applied, defaulted(applied), kind) == ()


@pytest.mark.parametrize(("name", "path"), LEAVES, ids=lambda one: "".join(map(str, one))[-70:])
@pytest.mark.parametrize("how", ["edited", "removed"])
def test_each_of_our_fields_counts_when_it_is(name, path, how):
    applied, live = APPLIED[name], defaulted(APPLIED[name])
    holder: Any = live
    for step in path[:-1]:
        holder = holder[step]
    was = holder[path[-1]]
    if how == "edited":
        holder[path[-1]] = (
            not was if isinstance(was, bool) else was + 1 if isinstance(was, int) else f"{was}-edited"
        )
    else:
        del holder[path[-1]]

    found = differences(applied, live, applied["kind"])

    assert found
    assert all(str(one) for one in found)


@given(st.data())
def test_equal_quantities_are_equal_however_they_are_written(data):
    applied = APPLIED["east.Deployment/armillary-demo-hello-7/scheduler"]
    live = defaulted(applied)
    resources = live["spec"]["template"]["spec"]["containers"][0]["resources"]
    cpu = data.draw(st.sampled_from(["0.5", ".5", "500m", "500000u"]))
    memory = data.draw(st.sampled_from(["1Gi", "1024Mi", "1073741824"]))
    resources["limits"] = {"cpu": cpu, "memory": memory}

    assert differences(applied, live, "Deployment") == ()


def test_an_empty_variable_is_as_applied_although_the_server_leaves_its_value_out():
    applied = {
        "spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": ""}]}]}}}
    }
    live = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "A"}]}]}}}}

    assert differences(applied, live, "Deployment") == ()


NARROWED = (
    ("NetworkPolicy/armillary-demo-hello-7/inside-only", ("spec", "podSelector"), {"matchLabels": {"no": "body"}}),
    ("NetworkPolicy/armillary-demo-hello-7/inside-only", ("spec", "ingress", 0, "ports"), [{"port": 1}]),
    (
        "NetworkPolicy/armillary-demo-hello-7/inside-only",
        ("spec", "ingress", 0, "from", 0, "podSelector"),
        {"matchLabels": {"no": "body"}},
    ),
    ("Service/armillary-demo-hello-7/scheduler", ("spec", "selector", "no"), "body"),
)


@pytest.mark.parametrize(("name", "path", "value"), NARROWED, ids=lambda one: str(one)[-40:])
def test_a_word_more_where_the_api_keeps_a_whole_is_a_difference(name, path, value):
    applied = APPLIED[f"east.{name}"]
    live = defaulted(applied)
    holder: Any = live
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value

    assert differences(applied, live, applied["kind"])


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)
SET = (
    ((*CONTAINER, "envFrom"), [{"secretRef": {"name": "login"}}]),
    ((*CONTAINER, "args"), ["--evil"]),
    ((*CONTAINER, "lifecycle"), {"postStart": {"exec": {"command": ["evil"]}}}),
    ((*CONTAINER, "livenessProbe"), {"exec": {"command": ["false"]}}),
    ((*CONTAINER, "securityContext", "privileged"), True),
    ((*CONTAINER, "env", 0, "value"), "a value beside the reference"),
    ((*CONTAINER, "env", 1, "valueFrom"), {"fieldRef": {"fieldPath": "metadata.name"}}),
    ((*CONTAINER, "volumeMounts", 0, "subPath"), "b"),
    ((*CONTAINER, "resources", "limits", "ephemeral-storage"), "1Mi"),
    ((*POD, "dnsConfig"), {"nameservers": ["192.0.2.1"]}),
    ((*POD, "hostNetwork"), True),
    ((*POD, "volumes", 0, "configMap", "items"), [{"key": "b", "path": "other"}]),
    ((*POD, "volumes", 0, "emptyDir"), {}),
)


@pytest.mark.parametrize(("path", "value"), SET, ids=[".".join(map(str, path[3:])) for path, _ in SET])
def test_what_somebody_says_of_what_runs_is_told_and_can_be_taken_away(path, value):
    applied = APPLIED["east.Deployment/armillary-demo-hello-7/scheduler"]
    live = defaulted(applied)
    holder: Any = live
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value

    (told,) = extras(applied, live, "Deployment")
    repaired = with_nothing_else(applied, live, "Deployment")

    assert told.path.endswith(str(path[-1]))
    assert extras(applied, repaired, "Deployment") == ()
    assert repaired["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_a_binary_file_that_somebody_adds_is_told_and_can_be_taken_away():
    applied = APPLIED["east.ConfigMap/armillary-demo-hello-7/settings"]
    live = defaulted(applied) | {"binaryData": {"extra.py": "eA=="}}

    assert [one.path for one in extras(applied, live, "ConfigMap")] == ["binaryData.extra.py"]
    assert extras(applied, with_nothing_else(applied, live, "ConfigMap"), "ConfigMap") == ()


def test_lists_with_keys_have_no_order():
    applied = APPLIED["east.Service/armillary-demo-hello-7/scheduler"]
    live = defaulted(applied)
    live["spec"]["ports"].reverse()

    assert differences(applied, live, "Service") == ()


ADDED = (
    ("Deployment", ("spec", "template", "spec", "containers", 0, "env"), {"name": "EVIL", "value": "1"}),
    ("Deployment", ("spec", "template", "spec", "containers"), {"name": "sidecar", "image": "evil:1"}),
    ("Deployment", ("spec", "template", "spec", "volumes"), {"name": "evil", "emptyDir": {}}),
    ("Service", ("spec", "ports"), {"name": "evil", "port": 1, "protocol": "TCP"}),
)


@pytest.mark.parametrize(("kind", "path", "entry"), ADDED, ids=lambda one: str(one)[-30:])
def test_what_somebody_adds_to_what_runs_is_told_and_can_be_taken_away(kind, path, entry):
    applied = APPLIED[f"east.{kind}/armillary-demo-hello-7/scheduler"]
    live = defaulted(applied)
    holder: Any = live
    for step in path:
        holder = holder[step]
    holder.append(entry)

    (told,) = extras(applied, live, kind)
    repaired = with_nothing_else(applied, live, kind)

    assert entry["name"] in told.path or str(entry.get("port")) in told.path
    assert extras(applied, repaired, kind) == ()
    assert differences(applied, repaired, kind) == ()
    assert repaired["metadata"]["labels"]["theirs"] == "1"


def test_a_secrets_value_is_in_no_difference():
    applied = {"kind": "Secret", "data": {"key": "c2VjcmV0"}, "metadata": {"name": "login"}}
    live = {"metadata": {"name": "login"}, "data": {"key": "aHVudGVyMg==", "more": "aHVudGVyMg=="}}

    told = [*differences(applied, live, "Secret"), *extras(applied, live, "Secret")]

    assert [one.path for one in told] == ["data.key", "data.more"]
    assert "c2VjcmV0" not in str(told)
    assert "aHVudGVyMg" not in str(told)
