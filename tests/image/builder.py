"""Builds the image with Debian's own tools, where no public image can be pulled: debootstrap makes the base."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SUITE = "bookworm"
PACKAGES = ("python3", "python3-venv", "ca-certificates", "tzdata")

_SECONDS = 900
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_SETTINGS = {
    "/etc/pip.conf": ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf"),
    "/etc/uv/uv.toml": ("/etc/uv/uv.toml", "~/.config/uv/uv.toml"),
}
"""Files by which a machine says where its package index is: their place in the base, and here."""


def missing() -> str:
    """Why no image can be built here, or nothing."""
    if os.geteuid() != 0:
        return "debootstrap needs root"
    absent = [one for one in ("buildah", "debootstrap") if shutil.which(one) is None]
    if absent:
        return f"{' and '.join(absent)} not installed (apt install buildah debootstrap)"
    return "" if mirror() else f"apt knows no mirror of Debian {SUITE}"


def mirror() -> str | None:
    """Where this machine's apt gets Debian from."""
    if shutil.which("apt-get") is None:
        return None
    asked = ("apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages")
    lines = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return next((line.split("|")[0] for line in lines if line.endswith(f"|{SUITE}|main")), None)


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah with a storage of its own, so that nothing stays behind and nothing is found there."""

    folder: Path

    def run(self, *arguments: str) -> str:
        """The output of a buildah command."""
        return _run(self.command(*arguments))

    def command(self, *arguments: str) -> list[str]:
        """A buildah command line."""
        places = [f"--root={self.folder / 'storage'}", f"--runroot={self.folder / 'run'}"]
        return ["buildah", *places, "--storage-driver=vfs", *arguments]

    def base(self, tag: str) -> None:
        """Commit a minimal Debian with Python that reaches what this machine reaches, as an organisation's own."""
        with self.container("scratch") as container:
            tree = Path(self.run("mount", container))
            include = f"--include={','.join(PACKAGES)}"
            _run(["debootstrap", "--variant=minbase", include, SUITE, str(tree), str(mirror())])
            for leftover in ("var/cache/apt", "var/lib/apt/lists"):
                shutil.rmtree(tree / leftover)
            _copy_trust(tree)
            self.run("umount", container)
            self.run("config", *(f"--env={name}={value}" for name, value in _told().items()), container)
            self.run("commit", "--quiet", "--disable-compression", container, tag)

    def build(self, tag: str, base: str) -> None:
        """Build our Dockerfile on that base. Docker's format, because OCI's knows no health checks."""
        options = ("--isolation=chroot", "--format=docker", f"--build-arg=BASE={base}", f"--tag={tag}")
        self.run("bud", *options, "--disable-compression", f"--file={ROOT / 'Dockerfile'}", str(ROOT))

    @contextmanager
    def container(self, image: str) -> Iterator[str]:
        """A working container of an image."""
        name = self.run("from", "--pull-never", image)
        try:
            yield name
        finally:
            self.run("rm", name)

    def remove(self) -> None:
        """Remove everything, unless something of this machine is still mounted in there."""
        mounts = Path("/proc/self/mounts").read_text().split()
        left = [mount for mount in mounts if mount.startswith(f"{self.folder}/")]
        assert not left, f"unmount these, then remove {self.folder}: {left}"
        shutil.rmtree(self.folder)


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == 0, f"{words} ended with {done.returncode}: {(done.stdout + done.stderr)[-4000:]}"
    return done.stdout.strip()


def _copy_trust(tree: Path) -> None:
    """Give the base this machine's certificates and settings of package indexes."""
    shutil.copyfile(os.environ.get("SSL_CERT_FILE", _BUNDLE), f"{tree}{_BUNDLE}")
    for place, sources in _SETTINGS.items():
        source = next((path for path in map(Path, map(os.path.expanduser, sources)) if path.is_file()), None)
        if source is not None:
            target = Path(f"{tree}{place}")
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)


def _told() -> dict[str, str]:
    """What this machine's environment says about indexes. A place on its disk means nothing in there."""
    names = [name for name in os.environ if name.startswith(("PIP_", "UV_"))]
    told = {name: os.environ[name] for name in names if not os.environ[name].startswith("/")}
    return {**told, "SSL_CERT_FILE": _BUNDLE, "PIP_CERT": _BUNDLE}
