"""Work figures out of samples: percentiles, medians with their spread, text tables. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Hold a median of repeats with the least and the most."""

    median: float
    least: float
    most: float

    @property
    def text(self) -> str:
        """The figure as it stands in a table."""
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


def spread(values: Sequence[float]) -> Spread:
    """
    Return the median of repeats with its spread.

    Raises:
        ValueError: If there are no values.
    """
    if not values:
        raise ValueError("a spread needs at least one value")
    return Spread(median=median(values), least=min(values), most=max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """
    Return the least value that at least this share of all values does not pass.

    Raises:
        ValueError: If there are no values, or the share is not above 0 and at most 1.
    """
    if not values or not 0 < share <= 1:
        raise ValueError(f"no percentile {share} of {len(values)} values")
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 10_000) * len(ordered) // 10_000) - 1)]


def short(number: float) -> str:
    """Write three digits that count; whole numbers from a hundred on."""
    if abs(number) >= 100:  # noqa: PLR2004 - three digits
        return f"{number:,.0f}"
    return f"{number:.3g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table that is readable as text and as Markdown."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
