"""`apply`: what a manifest means, and what is said to have become of it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli import applying, manifest, quickstart
from cli.errors import Misused, Refused
from tests.cli.conftest import answer

HERE = Path("/somewhere")


@pytest.fixture
async def api(client):
    """An API that keeps documents by path, gives generations, and refuses the name `forbidden`."""
    kept = {}

    async def handler(request):
        path, before = request.path, kept.get(request.path)
        if request.method == "GET":
            return answer(200, before) if before else answer(404, {"title": "Not found"})
        asked = await request.json()
        if asked.get("name") == "forbidden":
            return answer(422, {"title": "Refused", "detail": "not this"})
        generation = before["generation"] if before else 0
        same = before and {**before, "generation": 0} == {**asked, "generation": 0}
        kept[path] = {**asked, "generation": generation if same else generation + 1}
        return answer(200, kept[path])

    made = await client(handler)
    made.kept = kept
    return made


def read(text):
    return manifest.read("file.yaml", text, HERE)


MANIFEST = """
deployments:
  - {workspace: demo, name: hello, dags_folder: dags, components: {triggerer: {replicas: 1}}}
workspaces:
  - name: demo
"""


async def test_what_did_not_exist_is_created_workspaces_first(api):
    changes = await applying.apply(api, read(MANIFEST))

    assert [(one.result, one.kind, one.name) for one in changes] == [
        ("created", "workspace", "demo"),
        ("created", "deployment", "demo/hello"),
    ]
    assert list(api.kept) == ["/v1/workspaces/demo", "/v1/workspaces/demo/deployments/hello"]


async def test_applying_again_changes_nothing_and_says_so(api):
    await applying.apply(api, read(MANIFEST))

    changes = await applying.apply(api, read(MANIFEST))

    assert {one.result for one in changes} == {"unchanged"}
    assert applying.summary(changes) == "0 created, 0 changed, 2 unchanged"


async def test_a_change_names_the_place_with_its_old_and_new_value(api):
    await applying.apply(api, read(MANIFEST))

    changes = await applying.apply(api, read(MANIFEST.replace("replicas: 1", "replicas: 0")))

    assert [one.result for one in changes] == ["unchanged", "changed"]
    assert str(changes[1].differences[0]) == "components.triggerer.replicas: 1 → 0"


async def test_the_first_refusal_ends_it_in_the_apis_words(api):
    with pytest.raises(Refused, match="not this"):
        await applying.apply(api, read("{workspace: demo, name: forbidden}"))


async def test_what_get_printed_can_be_applied_again(api):
    await applying.apply(api, read(MANIFEST))
    printed = yaml.safe_dump({**api.kept["/v1/workspaces/demo/deployments/hello"], "release": "demo-hello"})

    changes = await applying.apply(api, read(printed))

    assert [(one.result, one.name) for one in changes] == [("unchanged", "demo/hello")]


async def test_a_new_deployment_in_the_place_of_one_that_is_being_deleted_is_created(client):
    async def handler(request):
        return answer(201 if request.method == "PUT" else 200, {"generation": 1})

    changes = await applying.apply(await client(handler), read("{workspace: demo, name: hello}"))

    assert [one.result for one in changes] == ["created"]


def test_a_relative_dags_folder_is_relative_to_the_file():
    assert read(MANIFEST)[1].document["dags_folder"] == "/somewhere/dags"


def test_an_absolute_dags_folder_stays():
    document = read("{workspace: demo, name: hello, dags_folder: /opt/dags}")[0].document

    assert document["dags_folder"] == "/opt/dags"


def test_several_documents_and_lists_are_one_manifest():
    items = read("- {workspace: a, name: x}\n- {workspace: a, name: y}\n---\nworkspaces: [a]\n---\nname: b\n")

    assert [one.name for one in items] == ["a", "b", "a/x", "a/y"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("workspaces: [", "is not YAML"),
        ("workspace: demo", "has no 'name'"),
        ("{deployments: [], deployment: []}", "unknown key 'deployment'"),
        ("workspaces: [3]", "must be a mapping"),
        ("{name: hello, dags_folder: dags}", "has no 'workspace'"),
        ("{workspace: Demo, name: hello}", "does not name a deployment"),
        ("{workspace: demo, name: ../../x}", "does not name a deployment"),
        ("just words", "must be a mapping"),
    ],
)
def test_a_manifest_that_cannot_be_meant_says_what_is_wrong_and_sends_nothing(text, told):
    with pytest.raises(Misused) as caught:
        read(text)

    assert told in " ".join(caught.value.sentences())


def test_the_shipped_example_is_a_manifest_whose_dags_exist():
    folder = quickstart.examples()

    items = manifest.read("quickstart.yaml", (folder / "quickstart.yaml").read_text(), folder)

    assert [one.name for one in items] == ["demo", str(quickstart.NAME)]
    assert (Path(items[1].document["dags_folder"]) / "hello_armillary.py").is_file()


def test_a_secret_is_shown_by_its_version_only():
    before = {"variables": {"KEY": {"secret": True, "version": 3}}}
    after = {"variables": {"KEY": {"secret": True, "version": 4}}}

    assert [str(one) for one in applying.differences_of(before, after)] == ["variables.KEY.version: 3 → 4"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inside, max_size=3)
    ),
    max_leaves=12,
)


@given(json_values, json_values)
def test_two_documents_differ_exactly_when_a_difference_is_found(one, other):
    # an absent key and one that is null say the same to the API
    assert bool(list(applying.differences_of(one, other))) == (_without_nulls(one) != _without_nulls(other))


@given(json_values)
def test_a_document_does_not_differ_from_itself(document):
    assert list(applying.differences_of(document, document)) == []


def _without_nulls(value):
    if isinstance(value, dict):
        return {key: _without_nulls(inside) for key, inside in value.items() if _without_nulls(inside) is not None}
    return value


async def test_the_quickstart_is_submitted_only_to_an_empty_fleet(client):
    put = []

    async def fleet(request):
        if request.method == "PUT":
            put.append(request.path)
        return answer(200, [{"name": "mine"}] if request.path == "/v1/workspaces" else [])

    assert await quickstart.submit_if_empty(await client(fleet)) == ()
    assert put == []
