"""
The local machine provider: a NodeClaim makes a real node join, and its end takes the node away.

It plays Karpenter and the cloud together, for every NodeClaim whatever its node class, because no
cloud can be had here: the *machine* is a set of namespaces of this host, the *GPU* is a number in
the node's status, everything else (kubelet, containerd, pods) is real. What to do next is decided
in node_claims.py; this file does it, with kubectl as the administrator, and logs each event.

It keeps nothing in memory: killed and started again, it goes on from what the cluster holds.
Run by `up`; alone: `python -m tests.cluster.machine_provider --name CLUSTER`.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from tests.cluster import claim_writing, machine_image, node, node_cluster
from tests.cluster import machine as machines
from tests.cluster.binaries import binary
from tests.cluster.control_plane import CommandError
from tests.cluster.instance_types import GPU_INSTANCE_TYPES, InstanceType
from tests.cluster.node_claims import (
    GPU,
    UNREGISTERED,
    Decision,
    Manifest,
    Step,
    View,
    choose,
    decide,
    machine_labels,
    registration_patch,
    resources,
)
from tests.cluster.node_cluster import NodeCluster
from tests.cluster.node_files import Taint

# How long to wait for a change before looking anyway: while a machine is on its way, and at rest.
BUSY_SECONDS, IDLE_SECONDS = 0.3, 15.0
AFTER_ERROR_SECONDS = 2.0
# File in the folder of a machine that belongs to a claim; others are an administrator's.
CLAIMED = "claimed"


class Provider:
    """Does for one cluster's NodeClaims what `decide` says."""

    def __init__(self, cluster: NodeCluster, types: Iterable[InstanceType]) -> None:
        """Remember the cluster and the machines on offer."""
        self._cluster = cluster
        self._plane = cluster.plane
        self._types = tuple(types)
        self._said: dict[str, Decision] = {}
        self._acts: dict[Step, Callable[[View], None]] = {
            Step.ADOPT: lambda view: claim_writing.hold(self._plane, view.claim),
            Step.LAUNCH: self._launch,
            Step.BOOT: self._boot,
            Step.REGISTER: self._register,
            Step.ADVERTISE: self._advertise,
            Step.INITIALIZE: self._initialize,
            Step.TERMINATE: self._terminate,
        }

    def sweep(self) -> bool:
        """Look at every claim once; return whether one of them is on its way."""
        claims = self._plane.read("get", "nodeclaims")["items"]
        nodes = {
            each["metadata"]["name"]: each for each in self._plane.read("get", "nodes")["items"]
        }
        busy = False
        for claim in claims:
            view = self._view(claim, nodes.get(claim["metadata"]["name"]))
            decision = decide(view)
            busy = busy or decision.step is not Step.NOTHING
            try:
                self._take(view, decision)
            except (CommandError, RuntimeError) as error:  # the boundary: one claim harms no other
                log(view.name, "failed", step=decision.step, error=str(error))
        self._end_orphans({claim["metadata"]["name"] for claim in claims})
        return busy

    def _view(self, claim: Manifest, found: Manifest | None) -> View:
        name = claim["metadata"]["name"]
        machine = machines.find(self._cluster.directory, name)
        runs = machine is not None and machine.kubelet.pid() is not None
        offer = choose(claim, self._types)
        return View(claim=claim, offer=offer, node=found, machine_runs=runs)

    def _take(self, view: View, decision: Decision) -> None:
        news = self._said.get(view.name) != decision
        self._said[view.name] = decision
        if news and decision.step is not Step.NOTHING:
            log(view.name, decision.step, reason=decision.reason, message=decision.message)
        match decision.step:
            case Step.NOTHING:
                return
            case Step.WAIT:
                if news:
                    waiting = ("Unknown", decision.reason, decision.message)
                    self._say(view, {decision.condition: waiting})
            case Step.REFUSE:
                self._refuse(view, decision)
            case step:
                self._acts[step](view)

    def _refuse(self, view: View, decision: Decision) -> None:
        message = f"NodeClaim {view.name} event: {decision.message}"
        claim_writing.warn(self._plane, view.claim, decision.reason, message)
        self._say(view, {"Launched": ("False", decision.reason, decision.message)})
        self._plane.kubectl("delete", "nodeclaim", view.name, "--wait=false")

    def _launch(self, view: View) -> None:
        chosen = self._type(view)
        labels = {"labels": machine_labels(view.claim, chosen)}
        claim_writing.patch(self._plane, view.claim, {"metadata": labels})
        held = resources(chosen)
        status = {"providerID": node.provider_id(view.name), "capacity": held, "allocatable": held}
        if image := machine_image.chosen(self._cluster.directory):
            status["imageID"] = image.key
        self._say(view, {"Launched": ("True", "Launched", "")}, status)

    def _boot(self, view: View) -> None:
        began = time.monotonic()
        machine = node_cluster.boot_machine(self._cluster, view.name)
        (machine.folder / CLAIMED).touch()
        labels = machine_labels(view.claim, self._type(view))
        taints = [Taint(**each) for each in (UNREGISTERED, *view.claim["spec"].get("taints", []))]
        node.start_kubelet(self._plane, machine, self._cluster.block, labels=labels, taints=taints)
        log(view.name, "booted", seconds=round(time.monotonic() - began, 1))

    def _register(self, view: View) -> None:
        if view.node is None:
            return
        patch = json.dumps(registration_patch(view.claim, view.node))
        self._plane.kubectl("patch", "node", view.name, "--type=merge", "-p", patch)
        self._say(view, {"Registered": ("True", "Registered", "")}, {"nodeName": view.name})

    def _advertise(self, view: View) -> None:
        node.advertise(self._plane, view.name, {GPU: str(self._type(view).gpus)})

    def _initialize(self, view: View) -> None:
        self._plane.kubectl("label", "node", view.name, "karpenter.sh/initialized=true")
        self._say(view, {"Initialized": ("True", "Initialized", "")})

    def _terminate(self, view: View) -> None:
        machine = machines.find(self._cluster.directory, view.name)
        if view.node is not None:
            node.drain(self._plane, view.name)
            self._say(view, {"Drained": ("True", "Drained", "")})
        if machine is not None:
            node.end(self._plane, machine)
        elif view.node is not None:
            self._plane.kubectl("delete", "node", view.name, "--ignore-not-found")
        claim_writing.release(self._plane, view.claim)
        self._said.pop(view.name, None)
        log(view.name, "gone")

    def _end_orphans(self, claims: set[str]) -> None:
        """End machines whose claim lost its finalizer to somebody else's hand."""
        for machine in machines.machines(self._cluster.directory):
            if (machine.folder / CLAIMED).exists() and machine.name not in claims:
                node.leave(self._plane, machine)
                self._said.pop(machine.name, None)
                log(machine.name, "orphan ended")

    def _say(
        self,
        view: View,
        changed: dict[str, tuple[str, str, str]],
        status: dict[str, Any] | None = None,
    ) -> None:
        claim_writing.set_conditions(self._plane, view.claim, changed, status)

    def _type(self, view: View) -> InstanceType:
        if view.offer.instance_type is None:
            raise RuntimeError(view.offer.refusal)
        return view.offer.instance_type


class Watch:
    """Wakes a waiting loop when an object of some kinds changes, by `kubectl get --watch`."""

    def __init__(self, cluster: NodeCluster, kinds: Iterable[str]) -> None:
        """Start one thread and one kubectl per kind."""
        self._changed = threading.Event()
        self._plane = cluster.plane
        for kind in kinds:
            threading.Thread(target=self._follow, args=(kind,), daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Return when something changed, or the time is over."""
        self._changed.wait(seconds)
        self._changed.clear()

    def _follow(self, kind: str) -> None:
        # Its kubectl ends with this process, however that ends.
        with_us = ["setpriv", "--pdeathsig", "KILL", str(binary("kubectl"))]
        command = [*with_us, f"--kubeconfig={self._plane.kubeconfig}", "get", kind, "--output=name"]
        while True:
            with subprocess.Popen(
                [*command, "--watch"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                for _ in process.stdout or ():
                    self._changed.set()
            time.sleep(AFTER_ERROR_SECONDS)


def run(cluster: NodeCluster, types: Iterable[InstanceType] = GPU_INSTANCE_TYPES) -> None:
    """Serve a cluster's NodeClaims until killed."""
    provider = Provider(cluster, types)
    watch = Watch(cluster, ("nodeclaims", "nodes"))
    log(cluster.plane.name, "serving", types=[each.name for each in types])
    while True:
        try:
            busy = provider.sweep()
        except CommandError as error:  # the API server is away; it comes back or the cluster ends
            log(cluster.plane.name, "cannot look", error=str(error))
            time.sleep(AFTER_ERROR_SECONDS)
            continue
        watch.wait(BUSY_SECONDS if busy else IDLE_SECONDS)


def log(name: str, event: str, **fields: object) -> None:
    """Print one event as one JSON line, without fields that say nothing."""
    told = {key: value for key, value in fields.items() if value is not None and value != ""}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    sys.stdout.write(json.dumps({"time": now, "name": name, "event": event, **told}) + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Serve the cluster that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.machine_provider")
    parser.add_argument("--name", required=True, help="a running cluster of size node")
    name = parser.parse_args(arguments).name
    try:
        run(node_cluster.attach(name))
    except RuntimeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
