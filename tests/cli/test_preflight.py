"""What stops `up` before it touches anything, and what it says then."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cli import lock, ports, preflight
from cli.errors import ExitCode, Failed, NotPermitted, Refused
from cli.home import ROOT_HOME, Home, default_home, resolve

NOBODY = 65534


def test_a_taken_port_names_its_holder_and_the_way_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(Refused) as caught:
            preflight.check_port(port)

    text = " ".join(caught.value.sentences())
    assert f"process {os.getpid()} " in text
    assert str(port) in text
    assert "--port" in text


def test_a_free_port_is_no_problem():
    preflight.check_port(ports.free_port())


def test_too_little_space_is_an_error_that_says_how_much_is_needed(home):
    preflight.check_home(home)

    with pytest.raises(Failed) as caught:
        preflight.check_space(home, lambda _: preflight.GIB)

    text = " ".join(caught.value.sentences())
    assert "1.00 GiB are free" in text
    assert "1.50 GiB are needed" in text
    assert str(home.path) in text


def test_less_space_is_enough_once_a_runtime_is_installed(home):
    (home.runtimes / "3.3.2").mkdir(parents=True)
    (home.runtimes / "3.3.2" / "runtime.json").write_text("{}")

    preflight.check_space(home, lambda _: preflight.GIB)


def test_a_runtime_that_was_never_finished_does_not_count(home):
    (home.runtimes / "3.3.2").mkdir(parents=True)

    with pytest.raises(Failed):
        preflight.check_space(home, lambda _: preflight.GIB)


def test_the_real_free_space_of_this_machine_can_be_read(tmp_path):
    assert preflight.free_bytes(tmp_path) > 0


def test_an_unsupported_python_is_named_with_what_is_needed():
    with pytest.raises(Failed) as caught:
        preflight.check_python((3, 14, 0))

    assert "Python 3.14 is not supported" in caught.value.what
    assert "3.11" in caught.value.what


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 4), (3, 13, 9)])
def test_supported_pythons_pass(version):
    preflight.check_python(version)


@pytest.fixture
def locked_folder():
    """A folder that this test may not write, because it is not root while it has it."""
    folder = Path(tempfile.mkdtemp(prefix="armillary-cli-"))
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield folder
    os.seteuid(user)
    shutil.rmtree(folder)


def test_a_home_that_cannot_be_written_says_for_whom_and_what_to_do(locked_folder):
    with pytest.raises(NotPermitted) as caught:
        preflight.check_home(Home(locked_folder / "home"))

    text = " ".join(caught.value.sentences())
    assert f"user {os.geteuid()}" in text
    assert str(locked_folder / "home") in text
    assert "ARMILLARY_HOME" in text
    assert caught.value.code == ExitCode.NOT_PERMITTED


def test_an_existing_home_that_cannot_be_written_is_refused_too(locked_folder):
    with pytest.raises(NotPermitted):
        preflight.check_home(Home(locked_folder))


def test_a_file_in_the_place_of_the_home_is_an_error(tmp_path):
    (tmp_path / "home").write_text("a file")

    with pytest.raises(Failed) as caught:
        preflight.check_home(Home(tmp_path / "home"))

    assert "not a folder" in caught.value.what


def test_a_new_home_can_be_entered_by_the_database_user_only_where_that_is_another(home):
    preflight.check_home(home)

    mode = home.path.stat().st_mode & 0o777
    assert mode == (0o755 if os.geteuid() == 0 else 0o700)


HOLD = (
    "import sys, pathlib, cli.lock\nwith cli.lock.held(pathlib.Path(sys.argv[1])):\n print(1, flush=True); input()"
)


@pytest.fixture
def holder(home):
    """Another process that holds the home's lock until it is killed."""
    home.path.mkdir()
    command = [sys.executable, "-c", HOLD, str(home.lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"1\n"
        yield process
        process.kill()


def test_a_second_up_on_the_same_home_names_the_first_ones_process(home, holder):
    with pytest.raises(Refused) as caught, lock.held(home.lock):
        pass

    assert f"process {holder.pid}" in caught.value.what
    assert str(home.path) in caught.value.where


def test_a_killed_up_does_not_lock_its_home_for_ever(home, holder):
    holder.kill()
    holder.wait(30)

    with lock.held(home.lock):
        assert home.lock.read_text() == f"{os.getpid()}\n"


def test_the_home_is_the_option_then_the_environment_then_the_default(tmp_path):
    environ = {"ARMILLARY_HOME": str(tmp_path / "b")}

    assert resolve(tmp_path / "a", environ).path == tmp_path / "a"
    assert resolve(None, environ).path == tmp_path / "b"
    assert resolve(None, {}).path == default_home()


def test_roots_default_home_is_where_an_unprivileged_user_can_go():
    assert (default_home() == ROOT_HOME) == (os.geteuid() == 0)
