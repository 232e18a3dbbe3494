"""
Bring one Workspace a step closer to what it asks for: the page to read first.

    parse    what the user wrote, or which field is wrong            api
    plan     nodes, GPUs, memory, image: before anything is bought   plan
    observe  fresh reads of everything that belongs to it            observe
    desire   the objects that should exist now                       objects
    change   what differs from what exists                           changes
    write    finalizer first, then what is missing or goes           writer
    report   conditions, the ledger of the start, the endpoint       status

A pass remembers nothing: whatever it is interrupted by, the next one reads again and goes on, and a
pass that finds nothing to change writes nothing. The finalizer stands before the first NodeClaim,
since no owner reference can hold a cluster-scoped object, and it goes after the last.

The pass that writes the finalizer asks for the machines next, for which minutes are waited. Every
later one writes the machines last, behind NetworkPolicy, Deployment and Service: should those be
refused because the namespace is gone, none is bought. Deletions come after all of it (`writer`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from model_presets.catalog import Catalog

from workspace_operator.api import FINALIZER, InvalidSpec, Workspace, WorkspaceStatus, parse
from workspace_operator.api.parse import parse_status
from workspace_operator.changes import (
    changes,
    deletion_changes,
    may_release,
    waits_for_consent,
)
from workspace_operator.claim_search import claim_selector
from workspace_operator.cluster import Cluster, Conflict, Gone, Manifest
from workspace_operator.cluster.kinds import NODE_CLAIM, WORKSPACE
from workspace_operator.decision import decide
from workspace_operator.late_writes import LateWrites
from workspace_operator.metrics import Metrics
from workspace_operator.objects import desired_objects, rollout, wanted_revision
from workspace_operator.objects.metadata import Identity
from workspace_operator.observe import Observer, utc_now
from workspace_operator.plan import Plan
from workspace_operator.reporter import Reporter
from workspace_operator.settings import NodeProvisioner, Settings
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import Outcome, report, report_invalid, requeue_after_seconds
from workspace_operator.template_trial import TemplateTrial, is_to_be_tried
from workspace_operator.vanished_namespace import VanishedNamespaces
from workspace_operator.wake import Key, Newborns, owner_uid
from workspace_operator.writer import Writer, finalizers

logger = logging.getLogger(__name__)

# Deletions of claims arrive as events; this is for the one that is lost.
DELETION_POLL_SECONDS = 5.0
# The first pass only asks for machines; the next comes with the cloud's answer, or then.
FIRST_LOOK_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Do one pass over one Workspace; the queue sees to it that there is only one at a time."""

    cluster: Cluster
    catalog: Catalog
    settings: Settings
    observer: Observer
    writer: Writer
    trial: TemplateTrial
    reporter: Reporter
    late: LateWrites
    metrics: Metrics
    vanished: VanishedNamespaces
    newborns: Newborns = field(default_factory=Newborns)
    clock: Callable[[], datetime] = utc_now

    async def __call__(self, key: Key) -> float | None:
        """
        Do one pass.

        Returns:
            Seconds until the next one, or None where only an event can bring news.

        """
        began = time.monotonic()
        outcome = "done"
        try:
            return await self._pass(key)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self.metrics.passes.labels(outcome=outcome).inc()
            self.metrics.pass_seconds.observe(time.monotonic() - began)

    async def _pass(self, key: Key) -> float | None:
        self.late.drop(key)
        born = self.newborns.take(key)
        # News of it means that a pass has had it before this sight came: nothing is new any more.
        if born is not None and not self.reporter.has_news(key):
            try:
                return await self._look_at(key, born, newborn=True)
            except Conflict:
                logger.info("not as it was seen", extra={"key": str(key)})
        body = await self.cluster.find(WORKSPACE, key.name, key.namespace)
        if body is None:
            self.vanished.forget(key)
            await self._collect_orphans(key)
            return None
        return await self._look_at(key, body)

    async def _look_at(self, key: Key, body: Manifest, *, newborn: bool = False) -> float | None:
        try:
            seconds = await self._act_on(key, body, newborn=newborn)
        except Gone as refusal:
            if not refusal.namespace_is_gone:
                raise
            return await self.vanished.refused(key, body)
        self.vanished.forget(key)
        return seconds

    async def _act_on(self, key: Key, body: Manifest, *, newborn: bool) -> float | None:
        if body["metadata"].get("deletionTimestamp"):
            return await self._let_go(key, body)
        try:
            workspace = parse(self.reporter.with_untold(key, body))
        except InvalidSpec as problem:
            return await self._explain(key, body, problem)
        at_once = newborn and self.settings.node_provisioner is NodeProvisioner.KARPENTER
        return await self._bring_closer(key, body, workspace, at_once=at_once)

    async def _bring_closer(
        self, key: Key, body: Manifest, workspace: Workspace, *, at_once: bool
    ) -> float:
        """
        Make what is missing.

        A newborn gets its machines `at_once`, since minutes start to count with the claim: nothing
        is read, for nothing can be there, and the rest is left to the next pass. Should there be a
        claim of ours in spite of that, it has the same name, and is not made twice.
        """
        now = self.clock()
        outcome = await self._decide(workspace)
        snapshot = Snapshot()
        if not at_once:
            snapshot = await self.observer.observe(
                _identity(body), workspace.status, workspace, self._revision(workspace, outcome)
            )
        if isinstance(outcome, Plan) and is_to_be_tried(outcome):
            outcome = await self.trial.judge(workspace, outcome, snapshot.deployment)
        refusal = None
        record = workspace.status.rollout
        if isinstance(outcome, Plan) and not waits_for_consent(workspace, snapshot):
            record = rollout(workspace, outcome, snapshot, self.settings, now).record
            wanted = desired_objects(workspace, outcome, snapshot, self.settings, now)
            if at_once:
                wanted = tuple(each for each in wanted if each["kind"] == NODE_CLAIM.kind)
            todo = changes(workspace, outcome, wanted, snapshot, now)
            todo, later = self.late.part(todo, snapshot)
            refusal = await self.writer.write(body, todo, snapshot)
            self.late.keep(key, later if refusal is None else None)
        if at_once and isinstance(refusal, Gone):
            return 0.0  # the cluster knows no NodeClaims: look at it, and say so
        fault = refusal.message if refusal else ""
        status = report(workspace, outcome, snapshot, now, fault=fault, rollout=record)
        self.reporter.note(key, body, status)
        if refusal is not None:
            raise refusal
        seconds = requeue_after_seconds(status, now, self.settings)
        return min(FIRST_LOOK_SECONDS, seconds) if at_once else seconds

    async def _decide(self, workspace: Workspace) -> Outcome:
        config_map = await self.observer.config(workspace)
        return decide(workspace, config_map, self.catalog, self.settings)

    def _revision(self, workspace: Workspace, outcome: Outcome) -> str:
        """Name the revision of the pod to come, where its way may lead over another node."""
        if self.settings.node_provisioner is not NodeProvisioner.BYO:
            return ""
        if not isinstance(outcome, Plan):
            return ""
        revision = wanted_revision(workspace, outcome, self.settings)
        given_up = workspace.status.rollout is not None and (
            workspace.status.rollout.failed == revision
        )
        return "" if given_up else revision

    async def _explain(self, key: Key, body: Manifest, problem: InvalidSpec) -> float | None:
        """Tell what is wrong with the manifest; what runs is left alone until it is corrected."""
        before = self._told(key, body)
        generation = body["metadata"].get("generation", 0)
        snapshot = await self.observer.what_runs(_identity(body), before, body)
        status = report_invalid(problem, generation, before, snapshot, self.clock())
        self.reporter.note(key, body, status)
        runs = snapshot.current_pods
        return requeue_after_seconds(status, self.clock(), self.settings) if runs else None

    async def _let_go(self, key: Key, body: Manifest) -> float | None:
        """Delete what the Workspace has, and release it when its machines are gone."""
        owner = _identity(body)
        if FINALIZER not in finalizers(body):
            return None
        snapshot = await self.observer.observe(owner, self._told(key, body), None)
        refusal = await self.writer.write(body, deletion_changes(owner, snapshot), snapshot)
        if refusal is not None:
            raise refusal
        if may_release(owner, snapshot):
            others = tuple(each for each in finalizers(body) if each != FINALIZER)
            await self.cluster.set_finalizers(body, others)
            self.reporter.forget(key)
            return None
        await self._report_deletion(key, body, snapshot)
        return DELETION_POLL_SECONDS

    async def _report_deletion(self, key: Key, body: Manifest, snapshot: Snapshot) -> None:
        try:
            workspace = parse(self.reporter.with_untold(key, body))
        except InvalidSpec:
            return
        outcome = await self._decide(workspace)
        self.reporter.note(key, body, report(workspace, outcome, snapshot, self.clock()))

    def _told(self, key: Key, body: Manifest) -> WorkspaceStatus:
        return parse_status(self.reporter.with_untold(key, body).get("status"))

    async def _collect_orphans(self, key: Key) -> None:
        """Delete the machines of a Workspace that is gone: nobody else would."""
        self.reporter.forget(key)
        try:
            # From the API server's cache: the finalizer goes after the last claim, so there is one
            # only where somebody took it away, and the sweep finds what the cache does not know.
            claims = await self.cluster.list(
                NODE_CLAIM, labels=claim_selector(key.namespace, key.name), fresh=False
            )
        except Gone:
            return
        for claim in claims:
            metadata = claim["metadata"]
            if owner_uid(claim) is not None and not metadata.get("deletionTimestamp"):
                logger.warning("orphan deleted", extra={"key": str(key), "claim": metadata["name"]})
                await self.cluster.delete(NODE_CLAIM, metadata["name"], None, metadata["uid"])


def _identity(body: Manifest) -> Identity:
    metadata = body["metadata"]
    return Identity(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
