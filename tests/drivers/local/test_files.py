"""Folders and files: written at once, drift by content and mode, and only ours ever removed."""

import asyncio
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Conflict, Refused, Unavailable
from drivers.local.files import Sightings, manifest_of, write_files
from drivers.local.supervise import scrub
from model.names import AddressRef, PathRef, Ref, text
from model.objects import Health
from model.plan import Cause, Create
from model.units import Credentials, Settings, Volume
from tests.drivers.local.world import OWNER, PASSWORD, RELEASE, SECRET, World, process, until

CONFIG = Settings(name="settings", component="environment", files={"airflow.cfg": text("a = 1\n")})
NESTED = Settings(
    name="settings", component="environment", files={"airflow.cfg": text("a = 2\n"), "more/x.py": text("X = 1\n")}
)
LOGIN = Credentials(
    name="login", component="api-server", files={"passwords.json": text('{"admin": "', PASSWORD, '"}')}
)
LOGS = Volume(name="logs", component="environment")


async def test_settings_and_credentials_are_written_with_their_modes(world: World):
    ref = await world.put(CONFIG, LOGIN)

    seen = await world.see(ref)
    settings, login = world.root / "settings/settings/airflow.cfg", world.root / "credentials/login/passwords.json"
    assert (seen.health, seen.drift) == (Health.HEALTHY, ())
    assert settings.read_text() == "a = 1\n"
    assert login.read_text() == f'{{"admin": "{SECRET}"}}'
    assert stat.S_IMODE(login.stat().st_mode) == 0o600
    assert stat.S_IMODE(login.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(world.root.stat().st_mode) == 0o700


async def test_a_secret_is_in_no_digest_and_its_version_is(world: World):
    body = repr(world.object(LOGIN))

    assert SECRET not in body
    assert "version=1" in body


@pytest.mark.parametrize(
    ("vandal", "what"),
    [
        (lambda path: path.write_text("a = 3\n"), "settings/settings/airflow.cfg was edited"),
        (lambda path: path.unlink(), "settings/settings/airflow.cfg is gone"),
        (lambda path: path.chmod(0o666), "settings/settings/airflow.cfg has mode 666 instead of 644"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "is no longer a plain file"),
    ],
)
async def test_an_edit_is_drift_that_names_the_file_and_an_update_repairs_it(world: World, vandal, what: str):
    ref = await world.put(CONFIG)
    path = world.root / "settings/settings/airflow.cfg"
    await world.healthy(ref)

    vandal(path)
    drift = await world.drifted(ref)
    await world.update(CONFIG)

    assert what in drift
    assert (await world.healthy(ref)).digest == world.object(CONFIG).digest
    assert path.read_text() == "a = 1\n"


async def test_files_added_by_others_are_no_drift_and_survive(world: World):
    ref = await world.put(NESTED)
    (world.root / "settings/settings/more/theirs.txt").write_text("mine")
    cache = world.root / "settings/settings/more/__pycache__"
    cache.mkdir()
    (cache / "x.cpython-311.pyc").write_text("compiled")

    seen = await world.see(ref)
    await world.update(CONFIG)
    await world.delete_all()

    assert not seen.drift
    assert [str(one.relative_to(world.root)) for one in world.root.rglob("*") if one.is_file()] == [
        "settings/settings/more/theirs.txt"
    ]


async def test_a_file_no_longer_wanted_is_removed(world: World):
    ref = await world.put(NESTED)

    await world.update(CONFIG)

    assert (await world.see(ref)).digest == world.object(CONFIG).digest
    assert not (world.root / "settings/settings/more").exists()


async def test_addresses_and_paths_are_resolved_even_before_what_they_name_exists(world: World):
    world.ports["api-server", "http"] = 20000
    parts = text(
        "http://", AddressRef("api-server", "http"), " ", PathRef("logs"), " ", PathRef("login", "passwords.json")
    )
    world.object(LOGS)
    world.object(LOGIN)

    await world.put(Settings(name="settings", component="environment", files={"urls": parts}))

    expected = f"http://127.0.0.1:20000 {world.root}/volumes/logs {world.root}/credentials/login/passwords.json"
    assert (world.root / "settings/settings/urls").read_text() == expected


async def test_the_path_of_a_unit_that_nobody_knows_is_not_guessed(world: World):
    unknown = Settings(name="settings", component="environment", files={"urls": text(PathRef("nowhere"))})

    with pytest.raises(Unavailable, match="nowhere"):
        await world.put(unknown)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x"])
async def test_a_file_outside_of_its_unit_is_refused(world: World, path: str):
    with pytest.raises(Refused, match="not a path inside"):
        world.object(Settings(name="settings", component="environment", files={path: text("")}))


async def test_a_volume_is_created_empty_kept_as_it_is_and_removed_whole(world: World):
    ref = await world.put(LOGS)
    folder = world.root / "volumes/logs"
    (folder / "run").mkdir()
    (folder / "run/1.log").write_text("x")

    await world.update(LOGS)
    kept = (folder / "run/1.log").exists()
    await world.delete(ref)

    assert kept
    assert not folder.exists()


async def test_a_volume_that_is_gone_is_drift(world: World):
    ref = await world.put(LOGS)
    (world.root / "volumes/logs").rmdir()

    assert await world.drifted(ref) == "volumes/logs is gone"
    await world.update(LOGS)
    await world.healthy(ref)


async def test_a_first_write_that_a_crash_cut_off_is_not_taken_for_a_stranger_s(world: World):
    (world.root / "objects").mkdir(parents=True)
    (world.root / "objects" / "Environment.json.ab12.new").write_text("{")
    ref = Ref("Environment", RELEASE)

    assert (await world.observe(ref)).foreign == {}
    await world.put()
    assert ref in (await world.observe(ref)).seen


async def test_a_folder_without_our_mark_is_foreign_and_is_never_touched(world: World):
    world.root.mkdir(parents=True)
    (world.root / "precious").write_text("x")
    ref = Ref("Environment", RELEASE)

    observed = await world.observe(ref)
    with pytest.raises(Conflict, match="no mark of Armillary"):
        await world.put()

    assert "carries no mark" in observed.foreign[ref]
    assert [one.name for one in world.root.iterdir()] == ["precious"]


async def test_another_owners_folder_is_foreign(world: World):
    await world.put(CONFIG)
    ref = Ref("Environment", RELEASE)
    other = type(OWNER)("deployment", "13")

    observed = await world.driver.observe(other, frozenset({ref}))

    assert observed.seen == {}
    assert observed.foreign == {ref: f"{world.root} belongs to deployment/12"}


async def test_a_lost_mark_is_drift_of_the_environment_and_no_stranger(world: World):
    await world.put(CONFIG)
    ref = Ref("Environment", RELEASE)
    (world.root / "owner.json").unlink()

    what = await world.drifted(ref)
    await world.put()

    assert what == f"{RELEASE}/owner.json is gone"
    await world.healthy(ref)


@pytest.mark.parametrize("content", ["", "{", '{"digest": "x"}', None])
async def test_a_record_that_was_torn_or_edited_is_written_anew(world: World, content: str | None):
    ref = await world.put(CONFIG)
    path = world.root / "objects/Files.settings.json"
    if content is None:
        content = path.read_text().replace('"is_stopped": false', '"is_stopped": true')
    path.write_text(content)

    seen = await world.see(ref)
    await world.update(CONFIG)

    assert seen.digest is None
    assert "cannot be read" in seen.drift[0].what
    await world.healthy(ref)


async def test_deleting_everything_leaves_no_folder(world: World):
    await world.put(CONFIG, LOGIN, LOGS, process())
    await world.healthy(Ref("Process", f"{RELEASE}.scheduler"))

    await world.delete_all()

    assert not world.root.exists()
    assert await world.driver.owners() == frozenset()


async def test_an_environment_is_not_removed_while_it_holds_something(world: World):
    await world.put(CONFIG)

    with pytest.raises(Unavailable, match="still holds Files/demo-hello"):
        await world.delete(Ref("Environment", RELEASE))


async def test_nothing_is_put_where_no_environment_is(world: World):
    with pytest.raises(Unavailable, match="Environment comes first"):
        await world.driver.apply(OWNER, Create(object=world.object(CONFIG), cause=Cause.GENERATION, why="asked"))

    assert not world.root.exists()


async def test_a_home_that_is_gone_is_blind_and_not_empty(world: World):
    await world.put(CONFIG)
    away = world.home.rename(world.home.with_name("away"))

    observed = await world.observe()
    with pytest.raises(Unavailable):
        await world.driver.owners()
    away.rename(world.home)

    assert observed.seen == {}
    assert set(observed.blind) == world.driver.kinds
    assert (await world.observe()).blind == {}


async def test_what_was_cut_off_in_the_middle_is_seen_and_finished(world: World):
    ref = await world.put(CONFIG)
    target = world.root / "settings/settings/airflow.cfg"
    target.unlink()
    target.mkdir()

    with pytest.raises(Conflict, match="is a folder where a file of ours must go"):
        await world.update(NESTED)
    middle = await world.see(ref)
    target.rmdir()
    await world.update(NESTED)

    assert middle.digest is None
    assert (await world.healthy(ref)).digest == world.object(NESTED).digest


async def test_watchers_hear_of_an_edit_within_half_a_second(world: World):
    ref = await world.put(CONFIG)
    await world.healthy(ref)
    heard = []

    async def listen() -> None:
        async for owner in world.driver.watch():
            heard.append(owner)  # noqa: PERF401 -- heard while it goes on

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.7)
    heard.clear()
    (world.root / "settings/settings/airflow.cfg").write_text("other")
    await until(lambda: heard, seconds=0.7)
    await world.driver.close()
    await asyncio.wait_for(listening, 5.0)

    assert set(heard) == {OWNER}


names = st.text("abc", min_size=1, max_size=3)


@given(files=st.dictionaries(names, st.binary(max_size=20), max_size=4), edit=st.binary(max_size=20))
def test_drift_is_seen_iff_content_differs(tmp_path_factory, files: dict[str, bytes], edit: bytes):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder, files, 0o600)
    manifest, eyes = manifest_of(files, 0o600), Sightings()
    assert eyes.drift(folder, "x", manifest) == []

    for name in files:
        (folder / name).write_bytes(edit)

    assert len(eyes.drift(folder, "x", manifest)) == sum(content != edit for content in files.values())


@given(
    secrets=st.lists(st.text(min_size=1, max_size=8), max_size=4), words=st.lists(st.text(max_size=8), max_size=4)
)
def test_no_secret_survives_scrubbing(secrets: list[str], words: list[str]):
    line = "".join(word + secret for word, secret in zip([*words, *[""] * 4], secrets, strict=False))

    for secret in secrets:
        if "*" not in secret:
            assert secret not in scrub(line, tuple(secrets))
