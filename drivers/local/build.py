"""Builds one runtime: a virtual environment, from a lock with hashes, compiled. Runs as a task under a shim.

A program of its own (`python -I build.py FOLDER LINK LOCK UV PYTHON DIGEST FREE_BYTES PROGRAMS…`), of the standard
library only. What stands in FOLDER is an earlier build that broke off; it is removed. PROGRAMS are patterns of
files that come to stand in its `bin`. `runtime.json` is written last.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Build, and print what happens. The exit code is 0 iff the runtime is ready."""
    folder, link, lock = (Path(one) for one in arguments[:3])
    uv, python, digest, free_bytes, *programs = arguments[3:]
    shutil.rmtree(folder, ignore_errors=True)
    free = shutil.disk_usage(folder.parent).free
    if free < int(free_bytes):
        return _say(f"no space left: {free} bytes are free, {free_bytes} are needed")
    began = time.monotonic()
    code = _run([uv, "venv", "--no-project", "--python", python, str(folder)], folder.parent)
    sync = [uv, "pip", "sync", "--python", str(folder / "bin" / "python"), "--require-hashes"]
    sync += ["--compile-bytecode", str(lock)]
    # First from uv's cache alone: with every wheel in it a build needs no network, and no index is asked.
    if code == 0 and _run([*sync, "--offline"], folder.parent, quiet=True) != 0:
        code = _run(sync, folder.parent)
    for pattern in programs if code == 0 else ():
        code = code or _link(folder, pattern)
    if code == 0:
        _finish(folder, link, digest, time.monotonic() - began)
    return code


def _run(command: list[str], folder: Path, *, quiet: bool = False) -> int:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, cwd=folder, stdout=output, stderr=output, check=False).returncode


def _link(folder: Path, pattern: str) -> int:
    """Have a program that a package brings among its files stand where programs are looked for."""
    found = sorted(folder.glob(pattern))
    if not found:
        return _say(f"no wheels for this machine: nothing is at {pattern}")
    found[0].chmod(0o755)
    (folder / "bin" / found[0].name).symlink_to(Path("..") / found[0].relative_to(folder))
    return 0


def _finish(folder: Path, link: Path, digest: str, seconds: float) -> None:
    facts = {"lock": digest, "python": sys.version.split()[0], "seconds": round(seconds, 1)}
    temporary = folder / "runtime.json.new"
    temporary.write_text(json.dumps(facts))
    if link.is_symlink() or not link.exists():
        new_link = link.with_name(f"{link.name}.new")
        new_link.unlink(missing_ok=True)
        new_link.symlink_to(folder.name)
        new_link.replace(link)
    os.sync()
    temporary.replace(folder / "runtime.json")


def _say(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
