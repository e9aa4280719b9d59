"""The shape of the source, as rules that fail: sizes, names, purity, dead modules, what must never be committed.

Which package may import which is import-linter's (`make check`); this is what it cannot see.
"""

import ast
import fnmatch
import io
import os
import re
import shutil
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reconciler.components import CATALOG

ROOT = Path(__file__).parent.parent
PRODUCT = ("model", "state", "drivers", "reconciler", "api", "cli")
OTHERS = ("migrations", "examples", "benchmarks", "tests")

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70  # the median is 5 to 15; beyond 40 a reader has to be told why it is one function

NO_SUBJECT = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "service", "sync"}
"""Names of modules that say nothing about what is inside, and words that DESIGN §3 bans."""

PURE = (
    "model/*.py",
    "reconciler/plan.py",
    "reconciler/conclude.py",
    "reconciler/needs.py",
    "reconciler/judge.py",
    "reconciler/limits.py",
    "reconciler/backoff.py",
    "reconciler/render.py",
    "reconciler/refusal.py",
    "reconciler/components/*.py",
)
"""Where the same arguments give the same answer for ever."""

IMPURE_MODULES = {
    *("asyncio", "time", "random", "secrets", "uuid", "threading", "multiprocessing", "subprocess"),
    *("os", "io", "sys", "shutil", "tempfile", "glob", "logging", "structlog"),
    *("socket", "ssl", "urllib", "http", "requests", "aiohttp", "psycopg", "sqlalchemy", "alembic"),
    *("psutil", "apscheduler", "tenacity"),
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "breakpoint"}
IMPURE_METHODS = {
    "now",
    "utcnow",
    "today",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "mkdir",
    "unlink",
}

STARTED_AS_SCRIPTS = {"cli.main", "api.statements", "benchmarks.__main__"}
"""What nothing imports because it is where a program begins."""

ONLY_FOR_TESTS = "drivers.simulation"
"""A driver of the conformance suite and of tests in virtual time; no installation has it."""

PUBLIC_HOSTS = {
    *("pypi.org", "files.pythonhosted.org", "localhost"),
    *("deb.debian.org", "security.debian.org", "archive.ubuntu.com", "security.ubuntu.com"),
}


@cache
def sources() -> dict[str, str]:
    """Every Python file of ours by its path from the root."""
    paths = (path for folder in (*PRODUCT, *OTHERS) for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(paths)}


@cache
def trees() -> dict[str, ast.Module]:
    return {path: ast.parse(source) for path, source in sources().items()}


def of(*folders: str) -> dict[str, ast.Module]:
    return {path: tree for path, tree in trees().items() if path.split("/")[0] in folders}


def test_every_file_has_one_subject_and_says_which() -> None:
    silent = [
        path
        for path, tree in trees().items()
        if tree.body and ast.get_docstring(tree) is None and Path(path).name != "conftest.py"
    ]

    assert silent == [], "modules without a docstring"


def test_no_file_is_longer_than_can_be_held_in_mind() -> None:
    sql = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "state" / "sql").glob("*.sql")}
    lines = {path: text.count("\n") for path, text in (sources() | sql).items()}

    assert {path: count for path, count in lines.items() if count > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_can_be_held_in_mind() -> None:
    long = {
        f"{path}:{node.lineno} {node.name}": length
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    }

    assert long == {}


def test_no_module_has_a_name_without_a_subject() -> None:
    words = {path: {*Path(path).with_suffix("").parts, *Path(path).stem.split("_")} for path in sources()}

    assert [path for path, parts in words.items() if parts & NO_SUBJECT] == []


def test_the_core_reads_no_clock_and_no_world() -> None:
    pure = {path: tree for path, tree in trees().items() if any(fnmatch.fnmatch(path, one) for one in PURE)}

    assert len(pure) > len(PURE), "the patterns match nothing: were files moved?"
    assert [found for path, tree in pure.items() for found in impurities(path, tree)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from os import environ",
        "import urllib.request",
        "from pathlib import Path",
        "x = datetime.now(UTC)",
        "print(1)",
        "open('x')",
        "path.read_text()",
        "async def f(): ...",
    ],
)
def test_impurity_is_noticed(source: str) -> None:
    assert list(impurities("a.py", ast.parse(source)))


def impurities(path: str, tree: ast.Module) -> Iterator[str]:
    """Each place at which a module meets the world."""
    for node in ast.walk(tree):
        if why := impurity(node):
            yield f"{path}:{node.lineno} {why}"  # type: ignore[attr-defined] # whatever is impure has a place


def impurity(node: ast.AST) -> str:
    match node:
        case ast.Import(names=names) if bad := {name.name.split(".")[0] for name in names} & IMPURE_MODULES:
            return f"imports {bad}"
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in IMPURE_MODULES:
            return f"imports {module}"
        case ast.ImportFrom(module="pathlib", names=names) if any(
            not one.name.startswith("Pure") for one in names
        ):
            return "imports a Path that can be read; PurePath cannot"
        case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
            return f"calls {name}"
        case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
            return f"calls .{name}"
        case ast.AsyncFunctionDef() | ast.Await():
            return "waits"
    return ""


def test_every_component_is_in_the_catalogue_and_explains_itself_to_users() -> None:
    explained = {
        name.replace("_", "-"): (ast.get_docstring(tree) or "").partition(":")
        for path, tree in trees().items()
        if path.startswith("reconciler/components/")
        and (name := Path(path).stem) not in {"__init__", "component", "airflow", "celery", "generations"}
    }

    assert set(explained) == set(CATALOG)
    assert {name: said for name, said in explained.items() if said[0].lower() != name or len(said[2]) < 40} == {}


def test_every_setting_of_the_catalogue_is_explained_by_its_component() -> None:
    said = {
        name: ast.get_docstring(trees()[f"reconciler/components/{name.replace('-', '_')}.py"]) for name in CATALOG
    }

    settings = catalogue("setting_catalogue")
    assert [(component, key) for component, key in settings if f"`{key}`" not in (said[component] or "")] == []


def test_every_component_of_the_database_s_catalogue_exists() -> None:
    assert {component for _, component in catalogue("component_catalogue")} <= set(CATALOG)


def catalogue(table: str) -> list[tuple[str, str]]:
    """The first two columns of what the schema puts into one of its catalogues."""
    schema = "".join(path.read_text() for path in (ROOT / "state" / "sql").glob("*.sql"))
    values = schema.partition(f"INSERT INTO core.{table} VALUES")[2].partition(";\n")[0]
    rows = re.findall(r"\('([^']+)', '([^']+)'", values)
    assert rows, f"no rows of core.{table} were found in state/sql"
    return rows


def test_every_module_is_used() -> None:
    modules = {name_of(path): tree for path, tree in of(*PRODUCT, "benchmarks").items()}
    used = {name for user, tree in modules.items() for name in imported(tree, user)}
    dead = {name for name in modules if name not in used and not name.endswith("__init__")}

    assert {name for name in dead if not is_found_otherwise(name)} == set()


def name_of(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def imported(tree: ast.Module, user: str) -> Iterator[str]:
    """Every module that a module may mean: `from a import b` is a module b of a, or a name in a."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names if name.name != user)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (module, *(f"{module}.{name.name}" for name in names))


def is_found_otherwise(name: str) -> bool:
    package, _, last = name.rpartition(".")
    by_the_catalogue = package == "reconciler.components" and last.replace("_", "-") in CATALOG
    return name in STARTED_AS_SCRIPTS or by_the_catalogue or name.startswith(f"{ONLY_FOR_TESTS}.")


def test_no_type_is_ignored_without_saying_which_complaint() -> None:
    careless = [
        f"{path}:{number}"
        for path, source in sources().items()
        if "ignore" in source or "noqa" in source
        for number, comment in comments(source)
        if re.match(r"#\s*type:\s*ignore(?!\[)", comment) or re.match(r"#\s*noqa(?!:\s*[A-Z])", comment)
    ]

    assert careless == []


def comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git repository")
def test_nothing_committed_tells_of_the_machine_it_was_written_on() -> None:
    known = private_hosts()
    told = [
        f"{path} mentions {word}"
        for path, text in committed()
        for word in known
        if re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", text)
    ]
    places = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("wo" + "rk", "ro" + "ot/[.]pyenv", "User" + "s")) + r")/")
    told += [f"{path} has a path of one machine" for path, text in committed() if places.search(text)]

    assert told == []


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="not a git repository")
def test_locks_name_no_index_at_all() -> None:
    hosts = {
        (path, host)
        for path, text in committed()
        if path.startswith("drivers/local/runtimes/") or path.endswith(".lock")
        for host in re.findall(r"https?://([^/\s\"']+)", text)
    }

    assert hosts == set()


@cache
def committed() -> tuple[tuple[str, str], ...]:
    """Every text file that is in the repository, or would be with the next commit: path and content."""
    asked = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split("\0")
    found = []
    for name in filter(None, names):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in content:
            found.append((name, content.decode(errors="replace")))
    return tuple(found)


def private_hosts() -> set[str]:
    """The hosts by which this machine reaches packages, except those that everybody uses."""
    told = [
        value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_")) or "PROXY" in name.upper()
    ]
    apt = Path("/etc/apt")
    files = [apt / "sources.list", *apt.glob("sources.list.d/*.sources"), *apt.glob("sources.list.d/*.list")]
    files += [Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".config/uv/uv.toml"]
    told += [path.read_text(errors="replace") for path in files if path.is_file() and os.access(path, os.R_OK)]
    urls = re.findall(r"https?://[^\s\"',]+", "\n".join(told))
    hosts = {urlsplit(url).hostname or "" for url in urls}
    return {host for host in hosts if "." in host and host not in PUBLIC_HOSTS and not host.startswith("127.")}
