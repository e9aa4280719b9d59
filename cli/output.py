"""How a command shows what it found: a table for people, JSON or YAML for programs.

Colours follow the terminal and `NO_COLOR`; nothing is ever cut off when the output is piped.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.errors import CommandError

_PIPE_WIDTH = 1000  # wide enough that no row of a piped table is wrapped

_COLOURS = {
    "True": "green",
    "ready": "green",
    "done": "green",
    "created": "green",
    "changed": "yellow",
    "progressing": "yellow",
    "applying": "yellow",
    "waiting": "bright_black",
    "stopped": "bright_black",
    "unchanged": "bright_black",
    "False": "red",
    "failed": "red",
    "held": "red",
    "blind": "magenta",
    "Unknown": "magenta",
}

_MOMENT = re.compile(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)$")


class Format(StrEnum):
    """What `-o` offers."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def console(*, error: bool = False) -> Console:
    """A console for people: stdout, or stderr for errors. Wide when nobody's terminal limits it."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False)


def styled(word: object) -> Text:
    """A cell: words with a meaning get its colour, moments are shown to the second, all else as it is."""
    written = "" if word is None else _MOMENT.sub(r"\1 \2Z", str(word))
    return Text(written, style=_COLOURS.get(written, ""))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, head: bool = True) -> Table:
    """A table without lines, as `ps` would show it, from rows that share the columns' keys."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold", show_header=head)
    for column in columns:
        made.add_column(column.replace("_", " ").upper(), overflow="fold")
    for row in rows:
        made.add_row(*(styled(row.get(column)) for column in columns))
    return made


def show(data: Any, format: Format, *, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print `data` as JSON or YAML, or its `rows` as a table with those columns."""
    match format:
        case Format.JSON:
            print_json(data)
        case Format.YAML:
            print_yaml(data)
        case Format.TABLE:
            console().print(table(rows, columns))


def print_json(data: Any) -> None:
    """Print indented JSON to stdout."""
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def print_yaml(data: Any) -> None:
    """Print YAML to stdout, keys in the order they came."""
    sys.stdout.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110))


def report(error: CommandError) -> None:
    """Print an error to stderr: what was wrong, where, what to do, then its evidence."""
    err = console(error=True)
    first, *others = error.sentences()
    err.print(Text.assemble(("error: ", "bold red"), first))
    for sentence in others:
        err.print(Text(f"       {sentence}"))
    for line in error.lines:
        err.print(Text(f"     | {line}", style="bright_black"))
