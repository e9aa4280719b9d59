"""The systemd unit: valid to systemd itself, for any home; and it stops the world only when it is told to."""

import configparser
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cli import systemd
from cli.errors import Misused, Refused
from cli.home import Home
from cli.main import run
from cli.systemd import unit

ODD = ("plain", "with a space", "50%", "$HOME", 'a "quoted" one', "back\\slash")


def parsed(text: str) -> configparser.ConfigParser:
    read = configparser.RawConfigParser(delimiters=("=",), strict=False)
    read.optionxform = str  # type: ignore[method-assign]
    read.read_string(text.partition("\n")[2])
    return read


def words(line: str) -> list[str]:
    """A command line as systemd would hand it over."""
    return [one.replace("%%", "%").replace("$$", "$") for one in shlex.split(line)]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("is_root", [True, False])
def test_a_home_of_any_name_is_the_one_that_is_started_and_stopped(tmp_path, name, is_root):
    read = parsed(unit(Home(tmp_path / name), port=9000, is_root=is_root))

    up, down = (words(read["Service"][key]) for key in ("ExecStart", "ExecStop"))
    assert up[1:] == ["up", "--home", str(tmp_path / name), "--port", "9000"]
    assert Path(up[0]).is_absolute()
    assert down[-4:] == [up[0], "down", "--home", str(tmp_path / name)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="NO SYSTEMD: the unit is not verified by it")
@pytest.mark.parametrize("is_root", [True, False])
@pytest.mark.parametrize("name", ODD)
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path, monkeypatch, name, is_root):
    program = tmp_path / "armillary"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    file = tmp_path / "armillary.service"
    file.write_text(unit(Home(tmp_path / name), port=8871, is_root=is_root))

    command = ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file))
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("main_process", [None, "4711"])
def test_the_world_is_stopped_when_systemd_stops_the_service_and_not_when_up_ended_by_itself(
    tmp_path, monkeypatch, main_process
):
    program = tmp_path / "armillary"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    command = words(parsed(unit(Home(tmp_path / "home"), port=8871, is_root=True))["Service"]["ExecStop"])
    known = {"MAINPID": main_process} if main_process else {}

    subprocess.run(command, env={"PATH": os.environ["PATH"], **known}, check=main_process is not None, timeout=10)

    assert (tmp_path / "called").exists() == (main_process is not None)


def test_a_unit_of_somebody_elses_stays_and_ours_is_renewed(tmp_path):
    file = tmp_path / "user" / "armillary.service"
    systemd.write(file, unit(Home(tmp_path), port=1, is_root=False))
    systemd.write(file, renewed := unit(Home(tmp_path), port=2, is_root=False))
    assert file.read_text() == renewed

    file.write_text("[Unit]\n")
    with pytest.raises(Refused, match="not written by Armillary"):
        systemd.write(file, renewed)
    assert file.read_text() == "[Unit]\n"


def test_it_is_printed_when_asked_and_needs_to_know_the_service_manager(capsys, tmp_path):
    assert run(["install", "--systemd", "--print", "--home", str(tmp_path)]) == 0
    assert f"--home {tmp_path}" in capsys.readouterr().out
    assert run(["install"]) == Misused.code
