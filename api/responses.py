"""What is answered when all is well: JSON, the ETag of what was read or written, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web


def answered(
    document: Any,
    *,
    status: int = 200,
    generation: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """A JSON answer. `generation` becomes the ETag, which If-Match may name later."""
    tagged = {} if generation is None else {"ETag": f'"{generation}"'}
    return web.Response(
        status=status,
        text=json.dumps(document, ensure_ascii=False) + "\n",
        content_type="application/json",
        headers={**tagged, **(headers or {})},
    )
