"""Manifests: files that say what should exist, as `apply -f` reads them. No network here.

A document is `{workspaces: [...], deployments: [...]}`, or one workspace or deployment, or a list of them, so that
what `armillary get -o yaml` printed can be applied again. Several documents in one file are one manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cli.errors import Misused
from cli.names import deployment_name, workspace_path

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that should exist: what it is called, where the API has it, and its document."""

    kind: str
    name: str
    path: str
    document: Document


def read(source: str, text: str, folder: Path) -> tuple[Item, ...]:
    """The items of a manifest, workspaces first. `folder` is what relative paths are relative to.

    Raises Misused naming the source and the place in it.
    """
    items = [item for document in _documents(source, text) for item in _items(source, document, folder)]
    return tuple(sorted(items, key=lambda item: item.kind != "workspace"))


def _items(source: str, document: Any, folder: Path) -> Iterable[Item]:
    match document:
        case {"workspaces": _} | {"deployments": _}:
            _only(source, document, {"workspaces", "deployments"})
            yield from (_workspace(source, one) for one in document.get("workspaces") or ())
            yield from (_deployment(source, one, folder) for one in document.get("deployments") or ())
        case list():
            for one in document:
                yield from _items(source, one, folder)
        case {"name": _} if "workspace" not in document and "dags_folder" not in document:
            yield _workspace(source, document)
        case _:
            yield _deployment(source, document, folder)


def _documents(source: str, text: str) -> Iterable[Any]:
    try:
        found = [one for one in yaml.safe_load_all(text) if one is not None]
    except yaml.YAMLError as error:
        raise Misused(f"{source} is not YAML.", where=" ".join(str(error).split())) from None
    if not found:
        raise Misused(
            f"{source} is empty.",
            todo="Write `workspaces:` and `deployments:`; see examples/quickstart.yaml.",
        )
    return found


def _only(source: str, document: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(document) - known)
    if unknown:
        raise Misused(
            f"{source} has the unknown key {unknown[0]!r} at its top.",
            todo=f"Known keys: {', '.join(sorted(known))}.",
        )


def _workspace(source: str, entry: Any) -> Item:
    entry = {"name": entry} if isinstance(entry, str) else entry
    document = _mapping(source, "a workspace", entry, ("name",))
    name = str(document["name"])
    return Item(kind="workspace", name=name, path=workspace_path(name), document=document)


def _deployment(source: str, entry: Any, folder: Path) -> Item:
    document = _mapping(source, "a deployment", entry, ("workspace", "name"))
    name = deployment_name(f"{document['workspace']}/{document['name']}")
    if isinstance(dags := document.get("dags_folder"), str):
        document["dags_folder"] = str((folder / Path(dags).expanduser()).resolve())
    if isinstance(version := document.get("airflow_version"), float | int):
        document["airflow_version"] = str(version)  # YAML reads an unquoted 3.3 as a number
    return Item(kind="deployment", name=str(name), path=name.path, document=document)


def _mapping(source: str, what: str, entry: Any, required: tuple[str, ...]) -> Document:
    if not isinstance(entry, dict):
        raise Misused(f"{source}: {what} is {entry!r}, and must be a mapping with {' and '.join(required)}.")
    missing = [key for key in required if not entry.get(key)]
    if missing:
        raise Misused(f"{source}: {what} has no {missing[0]!r}.", todo=f"Its keys: {', '.join(map(str, entry))}.")
    return {str(key): value for key, value in entry.items()}
