"""
Read what an administrator knows and no API tells: prices per hour, and how long phases take.

The file is YAML:

    currency: USD
    pricesPerHour: {Standard_NC24ads_A100_v4: "3.67"}
    expectedMinutes: {node_launched: 4, image_pulled: 6}

None is shipped: a price depends on region, contract and day. What is not listed is not shown.

Invariant: `Figures` that exist hold positive numbers, and a currency where there are prices.
Must not import anything of this package.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import yaml

# The phases of the ledger of a start, as status.startup names them.
PHASES = (
    "node_launched",
    "node_registered",
    "gpu_visible",
    "image_pulled",
    "weights_fetched",
    "weights_loaded",
    "first_token",
)


class BadFigures(ValueError):
    """Say what is wrong in a file of figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    Hold prices of instance types, and expected minutes of phases.

    Attributes:
        currency: Unit of the prices.
        prices_per_hour: By instance type.
        expected_minutes: By phase of a start.
    """

    currency: str = ""
    prices_per_hour: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))
    expected_minutes: Mapping[str, Decimal] = field(default_factory=lambda: MappingProxyType({}))

    def price(self, instance_type: str, count: int = 1) -> str | None:
        """Return what so many machines cost in an hour, or None where nobody said it."""
        price = self.prices_per_hour.get(instance_type)
        return None if price is None else f"{price * count:.2f} {self.currency}"


NO_FIGURES = Figures()


def read_figures(text: str) -> Figures:
    """
    Parse a file.

    Raises:
        BadFigures: It is no YAML, has an unknown key, or a value that is no positive number.
    """
    try:
        raw: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as problem:
        message = f"it is no YAML: {problem}"
        raise BadFigures(message) from problem
    known = {"currency", "pricesPerHour", "expectedMinutes"}
    if not isinstance(raw, dict) or not raw.keys() <= known:
        message = f"use the keys {', '.join(sorted(known))} only"
        raise BadFigures(message)
    prices = _numbers(raw.get("pricesPerHour"), "pricesPerHour")
    minutes = _numbers(raw.get("expectedMinutes"), "expectedMinutes")
    currency = raw.get("currency") or ""
    if not isinstance(currency, str) or (prices and not currency):
        message = "currency is missing; write one such as USD"
        raise BadFigures(message)
    unknown = minutes.keys() - set(PHASES)
    if unknown:
        message = f"expectedMinutes: {min(unknown)!r} is no phase; use {', '.join(PHASES)}"
        raise BadFigures(message)
    return Figures(currency=currency, prices_per_hour=prices, expected_minutes=minutes)


def _numbers(raw: object, key: str) -> Mapping[str, Decimal]:
    if raw is None:
        return MappingProxyType({})
    if not isinstance(raw, dict):
        message = f"{key} is no mapping"
        raise BadFigures(message)
    return MappingProxyType(
        {str(name): _number(value, f"{key}.{name}") for name, value in raw.items()}
    )


def _number(raw: object, where: str) -> Decimal:
    try:
        number = Decimal(str(raw))
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or number <= 0 or isinstance(raw, bool):
        message = f"{where}: {raw!r} is no positive number"
        raise BadFigures(message)
    return number
