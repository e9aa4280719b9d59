"""Quantities of Kubernetes in one form, so that `1000m` is `1` and `1Gi` is `1073741824`.

The forms are those of `resource.Quantity` (k8s.io/apimachinery): a signed decimal number and a suffix, which is
binary (Ki … Ei), decimal (n, u, m, k … E) or an exponent (e3, E-2).
"""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d+|[numkMGTPE]?)", re.ASCII)
_BINARY = {name: Fraction(1024) ** power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_POWERS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL = {name: Fraction(10) ** power for name, power in _POWERS.items()}
_EXPONENT_MAX = 30  # nothing real is larger, and a number of so many digits would cost


def canonical(quantity: str | float) -> Fraction:
    """The number that a quantity is. Raises ValueError for what is none."""
    found = _FORM.fullmatch(str(quantity))
    if found is None:
        raise ValueError(
            f"{quantity!r} is not a quantity: write a number and at most one suffix, as in 500m or 2Gi"
        )
    sign, number, suffix = found.groups()
    value = Fraction(number.rstrip(".") or "0") * _scale(suffix)
    return -value if sign == "-" else value


def _scale(suffix: str) -> Fraction:
    if suffix in _BINARY:
        return _BINARY[suffix]
    if suffix in _DECIMAL:
        return _DECIMAL[suffix]
    exponent = int(suffix[1:])
    if abs(exponent) > _EXPONENT_MAX:
        raise ValueError(f"an exponent of {exponent} is beyond what a quantity may have")
    return Fraction(10) ** exponent
