"""The statements that this release's code sends: what the next one must still answer, beside daemons of this one.

`python -m migrations.calls` writes them for the head, when it is released, with its definitions.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from state.definitions import scripts
from state.revisions import revisions

RELEASED = Path(__file__).resolve().parent / "released"
_VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_NAMES_SCHEMA = ("core.", "armillary.")


def calls(source: str) -> Iterator[str]:
    """Every text of a module that is a statement on our schema."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            is_template = any(name + "{" in text for name in _NAMES_SCHEMA)  # no statement yet
            if text.startswith(_VERBS) and any(name in text for name in _NAMES_SCHEMA) and not is_template:
                yield text


def release() -> None:
    """Write what the head is released with."""
    head = revisions()[0]
    modules = (one.read_text() for one in files("state").iterdir() if one.name.endswith(".py"))
    found = sorted({call for source in modules for call in calls(source)})
    (RELEASED / f"{head}.json").write_text(json.dumps(found, indent=1) + "\n")
    texts = (f"-- {name}\n{text}" for name, text in scripts() if name >= "040")
    (RELEASED / f"{head}.sql").write_text("\n".join(texts))


if __name__ == "__main__":
    release()
