"""Values of secrets that are generated once for a deployment and never again by a pass."""

from __future__ import annotations

import base64
import secrets

_BYTES = 32  # 256 bits, for every secret: there is no reason to make one of them weaker


def mint(name: str) -> str:
    """A fresh value for a generated secret. All are safe inside a URL and inside JSON without escaping."""
    if name == "fernet-key":
        return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode()  # the form Airflow demands
    return secrets.token_urlsafe(_BYTES)
