"""What people do, drawn as twins, mistakes included.

A twin is wrong in at most one way, because which of two mistakes is told first is nobody's promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from tests.sql.twins import (
    COMPONENTS,
    KEYS,
    SETTINGS,
    TIMES,
    WORKSPACES,
    Seal,
    Statement,
    Step,
    Twin,
    call,
    change_component,
    change_deployment,
    delete,
    delete_default,
    delete_email,
    deployment_at,
    make_deployment,
    make_workspace,
    put_default,
    put_email,
    put_variable,
    replace_deployment,
)

_WORKSPACE = st.sampled_from((*["ads"] * 12, "bi", "none"))
_NAME = st.sampled_from((*["one"] * 8, *["two"] * 3, "none"))
_TIME = st.sampled_from(TIMES)
_TEXT = st.sampled_from(("", "x", "größer", "it's; DROP TABLE --", "a" * 300, "%s", "\\", "two\nlines"))
_LONG_FOLDER = "/" + "x" * 4000
_READERS = st.lists(st.sampled_from(COMPONENTS), max_size=2)

_FIELDS = st.one_of(
    st.fixed_dictionaries({"dags_folder": st.sampled_from(("/srv/dags", "/srv/other", "/a b"))}),
    st.fixed_dictionaries({"hibernated": st.booleans()}),
    st.fixed_dictionaries({"drift_policy": st.sampled_from(("repair", "report"))}),
    st.fixed_dictionaries({"restarted_at": st.one_of(_TIME, st.none())}),
    st.fixed_dictionaries({"paused_until": _TIME, "pause_reason": st.sampled_from(("moving", "power cut"))}),
    st.fixed_dictionaries({"pause_reason": _TEXT.filter(bool)}),
    st.fixed_dictionaries({"airflow_version": st.just("3.3.2"), "hibernated": st.booleans()}),
)
_WRONG_FIELDS = st.sampled_from(
    (
        {"airflow_version": "1.0"},
        {"executor": "MagicExecutor"},
        {"dags_folder": "dags"},
        {"dags_folder": "/a\nb"},
        {"dags_folder": _LONG_FOLDER},
        {"drift_policy": "ignore"},
        {"restarted_at": "1999-01-01T00:00:00Z"},
        {"pause_reason": "x" * 1001},
    )
)
_WRONG_CHANGES = st.one_of(
    _WRONG_FIELDS,
    st.sampled_from(
        (
            {"release": "mine"},
            {"cluster": "moon"},
            {"delete_after": TIMES[2], "retain_until": TIMES[0]},
            {"retain_until": "1999-01-01T00:00:00Z", "delete_after": TIMES[0]},
        )
    ),
)


@st.composite
def _parts(draw: st.DrawFn, component: str) -> dict[str, Any]:
    said = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "replicas": st.sampled_from((0, 1)),
                "cpu_millicores": st.sampled_from((100, 2000)),
                "memory_mib": st.sampled_from((64, 512)),
                "grace_seconds": st.sampled_from((0, 20, 120)),
                "settings": st.fixed_dictionaries({SETTINGS[component]: st.sampled_from((1, 8))}),
            },
        )
    )
    return said or {"replicas": 0}


_COMPONENTS_SAID = st.sampled_from(COMPONENTS).flatmap(
    lambda one: st.one_of(st.just({}), _parts(one).map(lambda said: {one: said}))
)
_PLAIN = st.fixed_dictionaries({"value": _TEXT}, optional={"components": _READERS})
_SECRET = st.fixed_dictionaries(
    {"secret": st.just(True), "value": st.sampled_from(("s3cret", "other", ""))}, optional={"components": _READERS}
)
_KEPT = st.fixed_dictionaries({"secret": st.just(True)}, optional={"components": _READERS})
_VARIABLES_SAID = st.dictionaries(st.sampled_from(KEYS), st.one_of(_PLAIN, _SECRET), max_size=2)


def _workspaces() -> st.SearchStrategy[Step]:
    make = st.builds(
        make_workspace,
        st.sampled_from((*WORKSPACES, "Bad_Name", "x" * 21)),
        st.one_of(_TEXT, st.just("x" * 1001)),
    )
    return st.one_of(make, st.builds(_describe, _WORKSPACE, _TEXT), st.builds(_remove_workspace, _WORKSPACE))


def _describe(name: str, description: str) -> Twin:
    return Twin(
        method="PATCH",
        path=f"/v1/workspaces/{name}",
        body={"description": description},
        statements=(
            Statement("UPDATE armillary.workspaces SET description = %s WHERE name = %s", (description, name)),
        ),
    )


def _remove_workspace(name: str) -> Twin:
    return Twin(
        method="DELETE",
        path=f"/v1/workspaces/{name}",
        statements=(Statement("DELETE FROM armillary.workspaces WHERE name = %s", (name,)),),
    )


@st.composite
def _deployment(draw: st.DrawFn) -> Step:
    workspace, name = draw(_WORKSPACE), draw(_NAME)
    match draw(
        st.sampled_from(("make", "make wrongly", "bad name", "change", "change", "change wrongly", "replace"))
    ):
        case "make":
            return make_deployment(workspace, name, draw(_FIELDS), draw(_COMPONENTS_SAID), draw(_VARIABLES_SAID))
        case "make wrongly":
            return make_deployment(workspace, name, draw(_WRONG_FIELDS), {}, {}, is_wrong=True)
        case "bad name":
            bad = draw(st.sampled_from(("Not_A_Name", "9", "x" * 21, "a-")))
            return make_deployment(workspace, bad, {}, {}, {}, is_wrong=True)
        case "change":
            return change_deployment(workspace, name, draw(_FIELDS))
        case "change wrongly":
            return change_deployment(workspace, name, draw(_WRONG_CHANGES), is_wrong=True)
        case _:
            fields = draw(_FIELDS)
            return replace_deployment(workspace, name, fields, draw(_COMPONENTS_SAID), draw(_VARIABLES_SAID))


@st.composite
def _components(draw: st.DrawFn) -> Step:
    workspace, name, component = draw(_WORKSPACE), draw(_NAME), draw(st.sampled_from(COMPONENTS))
    wrong = {
        "replicas": 99,
        "cpu_millicores": 1,
        "memory_mib": 1,
        "grace_seconds": 36001,
        "settings": {"magic": 1},
    }
    field = draw(st.sampled_from((None, None, None, "unset", "unknown", "setting", *wrong)))
    said = draw(_parts(component))
    if field == "unknown":
        component = "worker"
    elif field == "unset":
        said = {"settings": {SETTINGS[component]: None}}
    elif field == "setting":
        said = {"settings": {SETTINGS[component]: draw(st.sampled_from((0, -1, 10**8, 1.5, True, "4")))}}
    elif field is not None:
        said = {field: wrong[field]}
    return Twin(
        method="PATCH",
        path=f"{deployment_at(workspace, name)}/components/{component}",
        body=said,
        statements=(change_component(f"{workspace}/{name}", component, said),),
        place=f"/components/{component}",
        is_wrong=field not in (None, "unset"),
    )


@st.composite
def _variables(draw: st.DrawFn) -> Step:
    workspace, name, key = draw(_WORKSPACE), draw(_NAME), draw(st.sampled_from(KEYS))
    match draw(st.sampled_from(("plain", "plain", "secret", "secret", "kept", "none", "wrong", "remove"))):
        case "plain":
            return put_variable(workspace, name, key, draw(_PLAIN))
        case "secret":
            return put_variable(workspace, name, key, draw(_SECRET))
        case "kept":
            return put_variable(workspace, name, key, draw(_KEPT))
        case "none":
            return put_variable(workspace, name, key, {}, is_wrong=True)
        case "wrong":
            key, said = _WRONG_VARIABLES[draw(st.sampled_from(sorted(_WRONG_VARIABLES)))]
            return put_variable(workspace, name, key, said, is_wrong=True)
        case _:
            target = f"{workspace}/{name}"
            statement = "DELETE FROM armillary.variables WHERE deployment = %s AND key = %s"
            return Twin(
                method="DELETE",
                path=f"{deployment_at(workspace, name)}/variables/{key}",
                statements=(Statement(statement, (target, key)),),
            )


_LAYERS = (
    ("platform", ""),
    ("cluster", "local"),
    ("cluster", "moon"),
    *(("workspace", one) for one in WORKSPACES),
)


@st.composite
def _defaults(draw: st.DrawFn) -> Step:
    (layer, name), key = draw(st.sampled_from(_LAYERS)), draw(st.sampled_from(KEYS))
    match draw(st.sampled_from(("put", "put", "put", "wrong", "remove"))):
        case "put":
            return put_default(layer, name, key, draw(st.sampled_from(("", "a", "\u00fcber"))))
        case "wrong":
            wrong = (("AIRFLOW_HOME", "x"), ("9KEY", "x"), ("A", "\u00fc" * 65537))
            key, value = draw(st.sampled_from(wrong))
            return put_default(layer, name, key, value, is_wrong=True)
        case _:
            return delete_default(layer, name, key)


_EMAILS = ("ann@example.org", "Ann@Example.org", "a/b~c+d@x-1.example", "o'neil@localhost")
_WRONG_EMAILS = ("nobody", "a b@c", "a@b..c", "a@-b", "@x", "a@b\u00fc", "a@" + "b" * 64)


@st.composite
def _emails(draw: st.DrawFn) -> Step:
    workspace, name = draw(_WORKSPACE), draw(_NAME)
    match draw(st.sampled_from(("put", "put", "put", "wrong", "remove"))):
        case "put":
            return put_email(workspace, name, draw(st.sampled_from(_EMAILS)))
        case "wrong":
            return put_email(workspace, name, draw(st.sampled_from(_WRONG_EMAILS)), is_wrong=True)
        case _:
            return delete_email(workspace, name, draw(st.sampled_from(_EMAILS)))


_WRONG_VARIABLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "reserved": ("AIRFLOW__CORE__FERNET_KEY", {"value": "x"}),
    "reserved secret": ("AIRFLOW_HOME", {"value": "x", "secret": True}),
    "no name": ("9KEY", {"value": "x"}),
    "too long": ("A", {"value": "\u00fc" * 65537}),
    "unknown reader": ("A", {"value": "x", "components": ["nobody"]}),
}


@st.composite
def _operations(draw: st.DrawFn, *, by_function: bool) -> Step:
    workspace, name = draw(_WORKSPACE), draw(_NAME)
    kinds = ["pause", "pause badly", "resume", "hibernate", "wake", "restart", "rollback", "rollback"]
    match draw(st.sampled_from([*kinds, "restart now"] if by_function else kinds)):
        case "pause":
            until, why = draw(_TIME), draw(st.sampled_from(("power", "moving")))
            return call(workspace, name, {"paused_until": until, "pause_reason": why}, "pause", until, why)
        case "pause badly":
            return change_deployment(
                workspace, name, {"paused_until": TIMES[0], "pause_reason": ""}, is_wrong=True
            )
        case "resume":
            return call(workspace, name, {"paused_until": None, "pause_reason": None}, "resume")
        case "hibernate":
            return call(workspace, name, {"hibernated": True}, "hibernate")
        case "wake":
            return call(workspace, name, {"hibernated": False}, "wake")
        case "restart":
            return change_deployment(workspace, name, {"restarted_at": draw(_TIME)})
        case "restart now":
            now = datetime.now(UTC).isoformat()
            return call(workspace, name, {"restarted_at": now}, "restart")
        case _:
            revision = draw(st.integers(1, 5))
            return call(workspace, name, {"revision": revision}, "rollback", revision, path="/rollback")


@st.composite
def _deletions(draw: st.DrawFn) -> Step:
    workspace, name = draw(_WORKSPACE), draw(_NAME)
    match draw(st.sampled_from(("delete", "delete", "undelete", "undelete by update", "keep longer"))):
        case "delete":
            return delete(workspace, name)
        case "undelete":
            return call(workspace, name, {"deletion_requested_at": None}, "undelete")
        case "undelete by update":
            return change_deployment(workspace, name, {"deletion_requested_at": None})
        case _:
            return change_deployment(workspace, name, {"delete_after": TIMES[0], "retain_until": draw(_TIME)})


def steps(*, by_function: bool = True) -> st.SearchStrategy[Step]:
    """One step. `by_function`: also functions that take the time themselves, so that fleets differ in times."""
    common = [
        _deployment(),
        _deployment(),
        _components(),
        _variables(),
        _variables(),
        _operations(by_function=by_function),
    ]
    return st.one_of(_workspaces(), *common, _defaults(), _emails(), _deletions(), st.just(Seal()))


def sequences(*, by_function: bool = True) -> st.SearchStrategy[list[Step]]:
    """A workspace and a deployment, and whatever happens then."""
    begin = [make_workspace("ads", ""), make_deployment("ads", "one", {}, {}, {"A": {"value": "a"}})]
    return st.lists(steps(by_function=by_function), min_size=4, max_size=12).map(lambda some: [*begin, *some])
