"""Hold a figure beside its goal. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """Say what a figure should be."""

    name: str
    measured: float
    most: float | None = None
    least: float | None = None

    @property
    def met(self) -> bool:
        """Whether it is; what is no number is not."""
        above = self.least is None or self.measured >= self.least
        return above and (self.most is None or self.measured <= self.most)

    def as_json(self) -> dict[str, object]:
        """Write name, bound, figure and verdict."""
        wanted = f"at most {self.most}" if self.most is not None else f"at least {self.least}"
        return {
            "goal": self.name,
            "wanted": wanted,
            "measured": self.measured,
            "met": self.met,
        }
