"""
Know by which names a Workspace's NodeClaims can be read, as watch and sweep have shown them.

A list of claims by label makes the API server look at every claim of the cluster, in every pass of
every Workspace; a claim that is read by its name costs the same among five thousand. Most names
stand in the status, since we chose them. This is for the others: a claim that somebody has made for
a Workspace of ours, or that a status has lost.

Invariant: a name here is where to look, and nothing is decided from it. Whoever may come to make a
claim, or lets a Workspace go, lists by label before (`observe`), so a name that is missing here
buys nothing: it delays what is done about a claim too many, until the sweep has shown it.

Must not import kopf or the cluster.
"""

from dataclasses import dataclass, field

Owner = tuple[str, str]


@dataclass(slots=True)
class ClaimNames:
    """Remember the names of the claims of each Workspace that were seen and not seen to go."""

    _of: dict[Owner, tuple[str, ...]] = field(default_factory=dict)

    def seen(self, owner: Owner, name: str) -> None:
        """Note a claim that carries the labels of a Workspace: its namespace and name."""
        before = self.of(owner)
        if name and name not in before:
            self._of[owner] = (*before, name)

    def gone(self, owner: Owner, name: str) -> None:
        """Forget a claim that was deleted, or that nobody finds by its name."""
        before = self.of(owner)
        if name not in before:
            return
        left = tuple(each for each in before if each != name)
        if left:
            self._of[owner] = left
        else:
            del self._of[owner]

    def of(self, owner: Owner) -> tuple[str, ...]:
        """Return the names to look for."""
        return self._of.get(owner, ())
