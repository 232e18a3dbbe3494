"""
Turn "this object changed" into "that Workspace is worth a look".

Events are hints: they may be lost, late or doubled, so nothing is decided from them. An object
names its Workspace by label. A node that the user brings names none; it concerns every Workspace
whose labels it carries, and only when something changed that a pod could notice, since a kubelet
reports itself all day.

Must not import kopf or the cluster.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple, Self

from workspace_operator.claim_names import ClaimNames
from workspace_operator.echoes import Echoes
from workspace_operator.last_words import MOST_REMEMBERED, LastWords
from workspace_operator.objects.metadata import (
    UID_ANNOTATION,
    WORKSPACE_LABEL,
    WORKSPACE_NAMESPACE_LABEL,
)
from workspace_operator.objects.node_claim import KIND as CLAIM_KIND
from workspace_operator.packed import packed, unpacked
from workspace_operator.snapshot import Manifest, Node
from workspace_operator.snapshot.reading import integer, mappings, section, strings, text

WORKSPACE_KIND = "Workspace"


class Key(NamedTuple):
    """Name one Workspace."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Read as kubectl users write it."""
        return f"{self.namespace}/{self.name}"


def key_of(workspace: Manifest) -> Key:
    """Name the Workspace itself."""
    metadata = section(workspace, "metadata")
    return Key(text(metadata.get("namespace")), text(metadata.get("name")))


def owner_of(body: Manifest) -> Key | None:
    """Name the Workspace that an object belongs to by its labels, if any."""
    metadata = section(body, "metadata")
    labels = strings(metadata.get("labels"))
    namespace = labels.get(WORKSPACE_NAMESPACE_LABEL) or text(metadata.get("namespace"))
    name = labels.get(WORKSPACE_LABEL)
    return Key(namespace, name) if namespace and name else None


def owner_uid(claim: Manifest) -> str | None:
    """Return the uid of the Workspace that a NodeClaim was made for; None if it is not ours."""
    return strings(section(claim, "metadata", "annotations")).get(UID_ANNOTATION)


@dataclass(slots=True)
class Newborns:
    """
    Hold Workspaces as events have shown them that nobody has taken in hand yet.

    Such a one has neither a finalizer nor a status, so nothing of it exists that could be read. The
    first write, which carries the version that was seen, is refused if it is not like that any
    more.
    """

    _seen: dict[Key, bytes] = field(default_factory=dict)

    def see(self, key: Key, body: Manifest, *, deleted: bool) -> None:
        """Keep the Workspace if it is one."""
        metadata = section(body, "metadata")
        begun = metadata.get("finalizers") or metadata.get("deletionTimestamp")
        if deleted or begun or body.get("status"):
            self._seen.pop(key, None)
        else:
            self._seen[key] = packed(body)

    def take(self, key: Key) -> Manifest | None:
        """Return it once."""
        seen = self._seen.pop(key, None)
        return None if seen is None else unpacked(seen)


@dataclass(frozen=True, slots=True)
class Sight:
    """
    Keep of a node whom it concerned, and as one number what a pod could notice of it.

    Labels are shared between nodes, most of which differ in one or two: a node is 0.6 kB so, and
    2.2 kB as it is parsed.
    """

    labels: dict[str, str]
    look: int

    @classmethod
    def of(cls, node: Node) -> Self:
        """See a node."""
        labels = {intern(key): intern(value) for key, value in node.labels.items()}
        look = (
            node.ready,
            node.deleting,
            frozenset(node.devices.items()),
            node.unschedulable,
            node.taints,
            node.pressures,
            frozenset(labels.items()),
        )
        return cls(labels, hash(look))


@dataclass(slots=True)
class Selectors:
    """Know which Workspaces could use a node, without a look at each of them."""

    _labels: dict[Key, dict[str, str]] = field(default_factory=dict)
    _by_first: dict[tuple[str, str], set[Key]] = field(default_factory=dict)

    def keep(self, key: Key, labels: dict[str, str]) -> None:
        """Remember what a Workspace asks of its nodes; nothing is asked by one that is gone."""
        before = self._labels.pop(key, {})
        if before:
            first = min(before.items())
            self._by_first[first].discard(key)
            if not self._by_first[first]:
                del self._by_first[first]
        if labels:
            self._labels[key] = labels
            self._by_first.setdefault(min(labels.items()), set()).add(key)

    def matching(self, labels: Mapping[str, str]) -> set[Key]:
        """Return the Workspaces all of whose labels are among these."""
        return {
            key
            for pair in labels.items()
            for key in self._by_first.get(pair, ())
            if self._labels[key].items() <= labels.items()
        }


@dataclass(slots=True)
class Wake:
    """Remember just enough of the events to know whom the next one concerns."""

    add: Callable[[Key], None]
    last_words: LastWords = field(default_factory=LastWords)
    echoes: Echoes = field(default_factory=Echoes)
    newborns: Newborns = field(default_factory=Newborns)
    insist: Callable[[Key], None] | None = None
    claim_names: ClaimNames = field(default_factory=ClaimNames)
    _generations: dict[Key, int] = field(default_factory=dict)
    _selectors: Selectors = field(default_factory=Selectors)
    _nodes: dict[str, Sight] = field(default_factory=dict)
    _claims: OrderedDict[str, Key] = field(default_factory=OrderedDict)

    def has_made(self, uid: str, version: str) -> bool:
        """Say whether our last write to an object made this version of it."""
        return self.echoes.has_made(uid, version)

    def knows(self, body: Manifest) -> bool:
        """
        Say whether an object is as our own write has made it, so that nobody need hear of it.

        Not so a claim: whose it is must be known when an Event speaks of it. Nor a Workspace whose
        author has changed it before that write, unheard.
        """
        kind = body.get("kind")
        if kind == CLAIM_KIND or not self.echoes.is_ours(body):
            return False
        generation = integer(section(body, "metadata").get("generation"))
        return kind != WORKSPACE_KIND or self._generations.get(key_of(body)) == generation

    def workspace_changed(self, body: Manifest, *, deleted: bool) -> None:
        """Look at the Workspace itself."""
        key = key_of(body)
        for attempt in mappings(section(body, "status").get("nodeAttempts")):
            self._belongs_to(text(attempt.get("claim") or attempt.get("lastClaim")), key)
        self.newborns.see(key, body, deleted=deleted)
        selector = section(body, "resource", "labelSelector")
        self._selectors.keep(key, {} if deleted else strings(selector.get("matchLabels")))
        generation = integer(section(body, "metadata").get("generation"))
        before = self._generations.get(key, generation)
        self._generations[key] = generation
        if deleted:
            del self._generations[key]
        if self.insist is not None and generation != before:
            self.insist(key)  # its author has changed it, or wants it gone
        else:
            self._heard(body, key, deleted=deleted)

    def child_changed(self, body: Manifest, *, deleted: bool) -> None:
        """Look at the Workspace that the object belongs to."""
        owner = owner_of(body)
        if owner is not None:
            self._heard(body, owner, deleted=deleted)

    def _heard(self, body: Manifest, key: Key, *, deleted: bool) -> None:
        """Look at a key unless the object is as our own write has made it."""
        if deleted:
            self.add(key)
        else:
            self.echoes.unless_ours(body, lambda: self.add(key))

    def claim_changed(self, body: Manifest, *, deleted: bool) -> None:
        """Look at the Workspace of a NodeClaim, and keep what the claim says."""
        self.last_words.hear(body)
        owner = owner_of(body)
        name = text(section(body, "metadata").get("name"))
        if owner is not None:
            self._belongs_to(name, owner)
            if deleted:
                self.claim_names.gone(owner, name)
            else:
                self.claim_names.seen(owner, name)
        self.child_changed(body, deleted=deleted)

    def claim_spoken_of(self, event: Manifest) -> None:
        """Look at the Workspace of a NodeClaim that an Event speaks of, also one that is gone."""
        owner = self._claims.get(self.last_words.hear_event(event))
        if owner is not None:
            self.add(owner)

    def _belongs_to(self, claim: str, owner: Key) -> None:
        if claim:
            self._claims[claim] = owner
            self._claims.move_to_end(claim)
            while len(self._claims) > MOST_REMEMBERED:
                self._claims.popitem(last=False)

    def node_changed(self, body: Manifest, *, deleted: bool) -> None:
        """Look at the Workspaces that the node serves, served, or could serve now."""
        node = Node.parse(body)
        sight, before = Sight.of(node), self._nodes.pop(node.name, None)
        if not deleted:
            self._nodes[node.name] = sight
            if before is not None and before.look == sight.look:
                return
        for key in self._concerned(sight, before or sight):
            self.add(key)

    def _concerned(self, *sights: Sight) -> set[Key]:
        found = {
            Key(sight.labels[WORKSPACE_NAMESPACE_LABEL], sight.labels[WORKSPACE_LABEL])
            for sight in sights
            if {WORKSPACE_LABEL, WORKSPACE_NAMESPACE_LABEL} <= sight.labels.keys()
        }
        return found.union(*(self._selectors.matching(sight.labels) for sight in sights))
