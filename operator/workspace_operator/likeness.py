"""
Say whether a live object already holds everything that is wanted, although it is spelt differently.

The API server fills in defaults, other writers add fields, and a quantity comes back as another
string (`1024Mi` for `1Gi`). Rules: every wanted key is there with a like value; items of a list
that have a name (containers, ports, volumes) are matched by it, other mappings one by one in any
order; lists of plain values (arguments, capabilities) must be equal, since their order has a
meaning; numbers and quantities are compared by value.

Invariant: `covers(x, x)` for every JSON value, and adding a key to a live mapping changes nothing.
Must not import anything of this package.
"""

import re
from decimal import Decimal
from math import isfinite

# Source: k8s.io/apimachinery, pkg/api/resource/quantity.go.
_QUANTITY = re.compile(r"([+-]?\d+(?:\.\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS: dict[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal(1) / 1000,
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def covers(wanted: object, live: object) -> bool:
    """Say whether `live` holds at least what is wanted."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(
            (key in live and covers(value, live[key])) or (key not in live and _is_empty(value))
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and _covers_list(wanted, live)
    if isinstance(wanted, bool) or isinstance(live, bool):
        return wanted is live
    if wanted == live:
        return True
    quantity = _quantity(wanted)
    return quantity is not None and quantity == _quantity(live)


def _covers_list(wanted: list[object], live: list[object]) -> bool:
    if not all(isinstance(item, dict) for item in wanted):
        return len(wanted) == len(live) and all(map(covers, wanted, live))
    return all(any(covers(item, candidate) for candidate in live) for item in wanted)


def _is_empty(value: object) -> bool:
    """Say whether a value is one that the API server leaves out: an empty list or mapping."""
    return value in ([], {})


def _quantity(value: object) -> Decimal | None:
    if isinstance(value, int | float):
        return Decimal(str(value)) if isfinite(value) else None
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    return Decimal(match.group(1)) * _FACTORS[match.group(2) or ""]
