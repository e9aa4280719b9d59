"""The mark: a JSON comment on each role, database and schema of ours. It lives in the world, not beside it.

`object` names what the mark was written on, so that a comment copied elsewhere is not taken for a mark. `about`
holds what was applied and cannot be read back from the catalog, never a secret: of a password only the hash of
its salted verifier.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model.names import Owner, Ref

_KEY = "armillary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whose an object is, and what was last applied to it. `digest` None: it was not finished."""

    installation: str
    owner: str
    object: str
    digest: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    def is_on(self, ref: Ref) -> bool:
        """Whether this mark was written for this object."""
        return self.object == str(ref)

    @property
    def comment(self) -> str:
        """The mark as a comment's text."""
        facts: dict[str, Any] = {_KEY: self.installation, "owner": self.owner, "object": self.object}
        if self.digest is not None:
            facts["digest"] = self.digest
        return json.dumps({**facts, **({"about": dict(self.about)} if self.about else {})})


def parse(comment: str | None) -> Mark | None:
    """The mark in a comment, or None when the comment is none of ours."""
    facts = _facts(comment)
    texts = [facts.get(name) for name in (_KEY, "owner", "object")]
    if not all(isinstance(one, str) for one in texts) or not _is_owner(facts["owner"]):
        return None
    about = facts.get("about")
    return Mark(
        installation=facts[_KEY],
        owner=facts["owner"],
        object=facts["object"],
        digest=facts["digest"] if isinstance(facts.get("digest"), str) else None,
        about={str(k): str(v) for k, v in about.items()} if isinstance(about, dict) else {},
    )


def _facts(comment: str | None) -> dict[str, Any]:
    try:
        facts = json.loads(comment or "")
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _is_owner(text: str) -> bool:
    try:
        Owner.parse(text)
    except ValueError:
        return False
    return True
