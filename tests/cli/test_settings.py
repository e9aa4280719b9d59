"""Where settings come from, and who wins: flags, then the environment, then the home's file, then the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from cli.errors import Refused
from cli.serve import serve
from reconciler.settings import Settings


def test_the_defaults(tmp_path: Path):
    settings = Settings(home=tmp_path)

    assert (settings.host, settings.port, settings.database) == ("127.0.0.1", 8871, None)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "armillary.toml").write_text('port = 1001\nhost = "127.0.0.2"\nworkers = 9\n')
    monkeypatch.setenv("ARMILLARY_PORT", "1002")
    monkeypatch.setenv("ARMILLARY_HOST", "127.0.0.3")

    settings = Settings(home=tmp_path, port=1003)

    assert (settings.port, settings.host, settings.workers) == (1003, "127.0.0.3", 9)


def test_the_weights_of_workspaces_are_a_table_in_the_file_and_json_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "armillary.toml").write_text("workspace_weights = { payments = 3, tests = 0.5 }\n")
    assert Settings(home=tmp_path).workspace_weights == {"payments": 3.0, "tests": 0.5}

    monkeypatch.setenv("ARMILLARY_WORKSPACE_WEIGHTS", '{"payments": 2}')
    assert Settings(home=tmp_path).workspace_weights["payments"] == 2.0


@pytest.mark.parametrize(
    "line", ["prot = 1", "port = 0", 'workers = "many"', "workspace_weights = { payments = 0 }"]
)
def test_a_wrong_line_in_the_file_is_an_error_that_names_it(tmp_path: Path, line: str):
    (tmp_path / "armillary.toml").write_text(f"{line}\n")

    with pytest.raises(ValidationError, match=line.split(maxsplit=1)[0]):
        Settings(home=tmp_path)


async def test_a_wrong_setting_is_told_with_its_place_and_the_daemon_does_not_start(tmp_path: Path):
    (tmp_path / "armillary.toml").write_text("prot = 1\n")

    with pytest.raises(Refused, match="prot") as told:
        await serve(home=tmp_path, database=None, host=None, port=None)

    assert "armillary.toml" in str(told.value.where)
