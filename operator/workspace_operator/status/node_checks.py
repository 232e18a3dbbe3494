"""
Judge the machines: has Karpenter made them, have they joined, do they show their GPUs.

Must not import pod checks or the ladder.
"""

from workspace_operator import conditions
from workspace_operator.objects.metadata import claim_name, identity_of
from workspace_operator.objects.placement import has_free_gpus, node_terms, shows_gpus
from workspace_operator.objects.slots import Slot
from workspace_operator.objects.watchdog import STARTING_PATIENCE, Broken, unhealthy_gpu
from workspace_operator.snapshot import Node, NodeClaim
from workspace_operator.status import node_reasons, reasons
from workspace_operator.status.evidence import Evidence
from workspace_operator.status.finding import Finding, Reason, holds, quoted

_BY_STEP: dict[str, Reason] = {
    "Launched": node_reasons.CLAIM_LAUNCHING,
    "Registered": node_reasons.CLAIM_REGISTERING,
    "Initialized": node_reasons.CLAIM_INITIALIZING,
}


def node_claims(evidence: Evidence) -> Finding:
    """Judge the NodeClaims of a Workspace whose nodes Karpenter makes."""
    wanted = evidence.plan.node_count
    if not evidence.snapshot.claims_served:
        return node_reasons.KARPENTER_MISSING.found()
    ready = [slot for slot in evidence.slots.slots if _is_ready(slot)]
    if len(ready) >= wanted:
        return holds(conditions.NODE_CLAIMS_READY, "Enough NodeClaims are ready")
    lacking = [slot for slot in evidence.slots.slots if slot not in ready]
    if not lacking:
        names = ", ".join(claim.name for claim in evidence.slots.surplus) or "those being deleted"
        return node_reasons.CLAIMS_IN_THE_WAY.found(wanted=wanted, claims=names)
    return _lacking_claim(evidence, lacking[0], len(ready))


def _lacking_claim(evidence: Evidence, slot: Slot, ready: int) -> Finding:
    """Say how far it has come with a machine that is not there."""
    if slot.claim is not None:
        return _claim(evidence, slot, slot.claim)
    if slot.taken:
        return reasons.NAME_CONFLICT.found(kind="NodeClaim", name=slot.taken)
    if slot.asked or slot.due(evidence.now):
        owner = identity_of(evidence.workspace)
        asked = slot.asked or claim_name(owner, slot.ordinal, slot.attempt)
        return node_reasons.CLAIM_ASKED.found(
            ready=ready, wanted=evidence.plan.node_count, claim=asked
        )
    return _retry(evidence, slot)


def nodes(evidence: Evidence) -> Finding:
    """Judge the nodes that belong to a Workspace, whoever brought them."""
    wanted = evidence.plan.node_count
    useless = _useless(evidence)
    if useless is not None:
        return useless
    if len(evidence.usable) >= wanted:
        return holds(
            conditions.NODES_ARE_READY, "Enough Nodes are ready" + _pressure(evidence.usable)
        )
    return _lacking(evidence)


def _useless(evidence: Evidence) -> Finding | None:
    """Find a machine that is paid for and of no use."""
    for slot in evidence.slots.slots:
        if slot.claim is not None and slot.broken is not None:
            return _broken(slot, slot.claim, slot.broken)
    for node in evidence.usable if evidence.brought else ():
        failing = unhealthy_gpu(node.name, evidence.gpu_failures)
        if failing is not None:
            return node_reasons.GPU_UNHEALTHY.found(why=failing.why)
    return None


def _lacking(evidence: Evidence) -> Finding:
    """Say which node is not ready yet, or that there is none."""
    for node in evidence.nodes:
        if not node.ready:
            condition = node.conditions.get("Ready")
            quote = quoted(condition.message or condition.reason if condition else "")
            return node_reasons.NODE_NOT_READY.found(node=node.name, quote=quote)
    for node in evidence.nodes:
        if not shows_gpus(node, evidence.plan):
            return _without_gpu(evidence, node)
    for node in evidence.nodes:
        if not has_free_gpus(node, evidence.plan, evidence.snapshot):
            holders = evidence.snapshot.taken[node.name].holders[evidence.plan.gpu_resource]
            return node_reasons.GPU_IN_USE.found(node=node.name, pods=", ".join(holders[:3]))
    if not evidence.brought:
        return node_reasons.NO_NODE_YET.found()
    return _no_match(evidence)


def _broken(slot: Slot, claim: NodeClaim, fault: Broken) -> Finding:
    """Tell what is wrong with a machine: it is replaced, or that has been tried."""
    if slot.given_back:
        found = node_reasons.CLAIM_REPLACED.in_the_words_of(fault.word)
        return found.found(claim=claim.name, why=fault.why)
    known = {
        "GPUUnhealthy": node_reasons.GPU_UNHEALTHY,
        "GPUNotVisible": node_reasons.GPU_STAYS_AWAY,
    }
    return known.get(fault.word, node_reasons.NODE_STAYS_DOWN).found(
        claim=claim.name, why=fault.why
    )


def _is_ready(slot: Slot) -> bool:
    return slot.claim is not None and slot.claim.ready and not slot.claim.deleting


def _claim(evidence: Evidence, slot: Slot, claim: NodeClaim) -> Finding:
    machine = claim.instance_type or evidence.machine
    if claim.deleting:
        return _dying(slot, claim, machine)
    obstacle = claim.obstacle
    if obstacle is None:  # the steps are done, only the sum of them is not written yet
        return node_reasons.CLAIM_INITIALIZING.found(
            claim=claim.name, node=claim.node_name, quote="Ready is not reported yet"
        )
    reason = _BY_STEP[obstacle.type].in_the_words_of(obstacle.reason)
    return reason.found(
        claim=claim.name,
        machine=machine,
        node=claim.node_name or "(unnamed)",
        quote=quoted(obstacle.message or obstacle.reason, otherwise="Karpenter is at it"),
        hint=_hint(evidence),
    )


def _dying(slot: Slot, claim: NodeClaim, machine: str) -> Finding:
    record = slot.record
    if slot.broken is not None:
        return _broken(slot, claim, slot.broken)
    if record is None or not (record.reason and record.message):
        return node_reasons.CLAIM_GOING.found(claim=claim.name)
    return node_reasons.CLAIM_GIVEN_UP.in_the_words_of(record.reason).found(
        claim=claim.name, machine=machine, quote=quoted(record.message)
    )


def _retry(evidence: Evidence, slot: Slot) -> Finding:
    record = slot.record
    word = (record.reason if record else None) or node_reasons.CLAIM_GONE.word
    gone = (record.claim or record.last_claim) if record else None
    otherwise = node_reasons.CLAIM_GONE.found(claim=gone).message if gone else ""
    types = " or ".join(slot.instance_types[:3])
    return node_reasons.CLAIM_RETRY.in_the_words_of(word).found(
        failures=slot.failures,
        machine=evidence.machine,
        hint=_hint(evidence),
        next_machine=f" with {types}" if types else "",
        quote=quoted((record.message if record else None) or "", otherwise=otherwise),
        when=f"{slot.not_before:%Y-%m-%dT%H:%M:%SZ}",
    )


def _hint(evidence: Evidence) -> str:
    """Say why a machine may never come, and how to ask for another."""
    if not evidence.plan.doubts:
        return ""
    return (
        f"{' '.join(evidence.plan.doubts)} The type cannot be changed: delete this Workspace and "
        "apply one with the right type. "
    )


def _without_gpu(evidence: Evidence, node: Node) -> Finding:
    ready = node.conditions["Ready"]
    facts = {
        "node": node.name,
        "gpus": node.allocatable(evidence.plan.gpu_resource),
        "wanted": evidence.plan.gpus_per_node,
        "resource": evidence.plan.gpu_resource,
    }
    if ready.since is not None and evidence.now - ready.since > STARTING_PATIENCE:
        return node_reasons.GPU_NOT_VISIBLE.found(
            since=f"{ready.since:%Y-%m-%dT%H:%M:%SZ}", **facts
        )
    return node_reasons.GPU_NOT_YET_VISIBLE.found(**facts)


def _no_match(evidence: Evidence) -> Finding:
    labels = " ".join(f"{key}={value}" for key, value in evidence.plan.node_labels.items())
    terms = [
        f"{term['key']} {term['operator']}"
        + (f" {','.join(term['values'])}" if term.get("values") else "")
        for term in node_terms(evidence.workspace, evidence.plan)
    ]
    return node_reasons.NO_NODE_MATCHES.found(
        found=len(evidence.nodes),
        wanted=evidence.plan.node_count,
        selector=" and ".join(terms),
        example=labels or "KEY=VALUE",
    )


def _pressure(usable: tuple[Node, ...]) -> str:
    """Return KAITO's warning about nodes that run short of something."""
    pressed = [f"{node.name} ({', '.join(node.pressures)})" for node in usable if node.pressures]
    if not pressed:
        return ""
    return f"; warning: worker node(s) under resource pressure: {', '.join(pressed)}"
