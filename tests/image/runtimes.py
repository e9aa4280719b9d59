"""The images that deployments run from, built by the product's recipe, kept as tar files for the next time.

Building them takes some minutes, most of it for the base; what is kept is found again by the digest of all that
they are made from.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from tests.image.builder import ROOT, Builder

RECIPE = ROOT / "images" / "airflow" / "Containerfile"
ENVIRONMENT = "PATH=/opt/runtime/bin:/usr/local/bin:/usr/bin:/bin"
USER = "50000"
"""As the recipe says: a file system that was packed says nothing of it."""

_BASE = "localhost/armillary-runtime-base:test"
_TAR_SECONDS = 300.0


def root_filesystems(*runtimes: str) -> list[Path]:
    """A tar file of each runtime's image, e.g. of `airflow-3.3.2`."""
    files = {runtime: _file(runtime) for runtime in runtimes}
    missing = [runtime for runtime, file in files.items() if not file.exists()]
    if missing:
        builder = Builder(Path(tempfile.mkdtemp(prefix="armillary-runtimes-")))
        try:
            builder.base(_BASE)
            for runtime in missing:
                build(builder, runtime, _BASE, files[runtime])
        finally:
            builder.remove()
    return list(files.values())


def build(builder: Builder, runtime: str, base: str, file: Path) -> None:
    """Build one on a base, and pack it; what was packed of it before is removed."""
    tag = f"localhost/{runtime}:test"
    facts = (f"--build-arg=BASE={base}", f"--build-arg=RUNTIME={runtime}", f"--tag={tag}", f"--file={RECIPE}")
    builder.run("bud", "--isolation=chroot", "--format=docker", "--disable-compression", *facts, str(ROOT))
    file.parent.mkdir(parents=True, exist_ok=True)
    for old in file.parent.glob(f"{runtime}-*"):
        old.unlink()
    with builder.container(tag) as container:
        tree = builder.run("mount", container)
        part = file.with_suffix(".part")
        subprocess.run(
            ["tar", "--numeric-owner", "-C", tree, "-cf", str(part), "."], check=True, timeout=_TAR_SECONDS
        )
        part.rename(file)
        builder.run("umount", container)


def _file(runtime: str) -> Path:
    told = hashlib.sha256()
    for one in (RECIPE, ROOT / "drivers" / "local" / "runtimes" / f"{runtime}.txt", ROOT / "requirements.lock"):
        told.update(one.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "armillary-tests" / f"{runtime}-{told.hexdigest()[:16]}.tar"
