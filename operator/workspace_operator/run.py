"""
Join the parts and run them until told to stop.

A follower serves its health and waits for the Lease. The holder watches (kopf), works (the queue),
sweeps, and renews; as soon as one of the four ends, for whatever reason, all end, and the process
with them. That is cheap and safe, since nothing is remembered outside the cluster.

Must not read the environment: `__main__` does.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kopf
from model_presets.catalog import Catalog

from workspace_operator import handlers
from workspace_operator.claim_definition import ClaimDefinition
from workspace_operator.claim_names import ClaimNames
from workspace_operator.claim_search import ClaimSearch
from workspace_operator.cluster import (
    ApiServer,
    ClusterError,
    Connection,
    Forbidden,
    Gone,
    Throttled,
)
from workspace_operator.cluster.kinds import WORKSPACE
from workspace_operator.echoes import Echoes
from workspace_operator.last_words import LastWords
from workspace_operator.late_writes import InOrder, LateWrites
from workspace_operator.lease import Lease, new_identity
from workspace_operator.metrics import Metrics
from workspace_operator.model_probe import ModelProbe
from workspace_operator.observe import Observer, utc_now
from workspace_operator.pod_warnings import PodWarnings
from workspace_operator.reconcile import Reconciler
from workspace_operator.reporter import Reporter
from workspace_operator.settings import NodeProvisioner, Settings
from workspace_operator.sweep import Sweep
from workspace_operator.template_trial import TemplateTrial
from workspace_operator.training_probe import TrainingProbe
from workspace_operator.vanished_namespace import VanishedNamespaces
from workspace_operator.wake import Key, Newborns, Wake
from workspace_operator.web import Health, serve
from workspace_operator.work_queue import WorkQueue
from workspace_operator.writer import Writer

logger = logging.getLogger(__name__)

WORKERS = 16
CROWD = 200  # keys that wait for a pass: some seconds of work
FORBIDDEN_PAUSE_SECONDS = 30.0
TELL_ALL_SECONDS = 2.0  # what is left untold then is worked out again by the next process


class BadStart(Exception):
    """Say in one sentence why the operator cannot start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Hold what runs while this process is the one that writes."""

    connection: Connection
    definition: ClaimDefinition
    lease: Lease
    probe: ModelProbe
    queue: WorkQueue[Key]
    reporter: Reporter
    sweep: Sweep
    wake: Wake


async def run(
    settings: Settings, catalog: Catalog, *, clock: Callable[[], datetime] = utc_now
) -> None:
    """
    Run one operator until SIGTERM or SIGINT.

    Args:
        settings: The administrator's choices.
        catalog: The models on offer.
        clock: Tells the time that is written down and compared with what was; pauses and time-outs
            go by the event loop's.

    Raises:
        BadStart: The cluster is not ready for it.
        LeaseLost: Another process took over, or the API server was gone for too long.
        NoCredentials: No cluster is named.
        OSError: A port is taken.
        StartOver: The cluster serves NodeClaims now, and did not before.

    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    metrics = Metrics()
    health = Health(stale_seconds=max(180.0, 3.0 * settings.resync_seconds))
    connection = Connection(settings.kubeconfig, on_answer=health.beat)
    await connection.open()
    parts = _assemble(settings, catalog, connection, metrics, health, clock)
    try:
        async with serve(
            health=health,
            health_port=settings.health_port,
            metrics=metrics.page,
            metrics_port=settings.metrics_port,
        ):
            await _unless(stop, _check_definition(parts.lease))
            await _unless(stop, _lead(settings, parts, stop))
    finally:
        await parts.probe.close()
        await connection.close()
        asyncio.get_running_loop().set_exception_handler(_leave_quietly)
    logger.info("stopped")


def _assemble(
    settings: Settings,
    catalog: Catalog,
    connection: Connection,
    metrics: Metrics,
    health: Health,
    clock: Callable[[], datetime],
) -> Parts:
    lease = Lease(
        cluster=ApiServer(connection, guard=_always, count_write=metrics.count_write),
        namespace=settings.namespace,
        name=settings.lease_name,
        identity=new_identity(settings.pod_name),
    )
    guard = lease.check if settings.leader_election else _always
    echoes, last_words, newborns, names = Echoes(), LastWords(), Newborns(), ClaimNames()
    cluster = ApiServer(
        connection,
        guard=guard,
        count_write=metrics.count_write,
        writing=echoes.writing,
        on_written=echoes.wrote,
    )
    probe = ModelProbe(interval_seconds=settings.probe_interval_seconds)
    reporter = Reporter(cluster=cluster, metrics=metrics, instance=settings.pod_name, clock=clock)
    late = LateWrites(cluster=cluster)
    vanished = VanishedNamespaces(cluster=cluster, clock=clock)
    reconciler = Reconciler(
        cluster=cluster,
        catalog=catalog,
        settings=settings,
        observer=Observer(
            cluster=cluster,
            settings=settings,
            claims=ClaimSearch(cluster=cluster, names=names),
            probe=probe,
            last_words=last_words,
            warnings=PodWarnings(cluster=cluster),
            training_probe=TrainingProbe(http=probe.http),
        ),
        writer=Writer(cluster=cluster, instance=settings.pod_name, clock=clock),
        trial=TemplateTrial(cluster=cluster, settings=settings),
        reporter=reporter,
        late=late,
        metrics=metrics,
        vanished=vanished,
        newborns=newborns,
        clock=clock,
    )
    queue = WorkQueue(
        reconciler, workers=WORKERS, least_pause=_least_pause, telling=InOrder((late, reporter))
    )
    metrics.queue_depth.set_function(lambda: len(queue))
    metrics.without_namespace.set_function(lambda: len(vanished))
    metrics.open_breakers.set_function(lambda: queue.open_breakers)
    metrics.lease_held.set_function(lambda: lease.is_held)
    metrics.list_age_seconds.set_function(lambda: health.list_age_seconds)
    return Parts(
        connection=connection,
        definition=ClaimDefinition(cluster=cluster),
        lease=lease,
        probe=probe,
        queue=queue,
        reporter=reporter,
        sweep=Sweep(
            cluster=cluster,
            add=queue.add,
            show_claim=names.seen,
            on_answer=health.beat_list,
            show_claims=metrics.show_claims,
            show_rivals=metrics.rivals.set,
            is_crowded=lambda: len(queue) > CROWD,
        ),
        wake=Wake(queue.add, last_words, echoes, newborns, queue.insist, names),
    )


async def _lead(settings: Settings, parts: Parts, stop: asyncio.Event) -> None:
    """Wait for the Lease, then work until something ends."""
    if settings.leader_election:
        await parts.lease.acquire()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(parts.queue.run(), name="queue")
            group.create_task(parts.sweep.run(settings.resync_seconds), name="sweep")
            if settings.leader_election:
                group.create_task(parts.lease.keep(), name="lease")
            await _watch(settings, parts, group, stop)
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    finally:
        if parts.lease.is_held:
            await parts.reporter.tell_all(TELL_ALL_SECONDS)
        await parts.lease.release()


async def _watch(
    settings: Settings, parts: Parts, group: asyncio.TaskGroup, stop: asyncio.Event
) -> None:
    """Let kopf watch until it fails; it ends on its own only on an error it cannot survive."""
    on_definition = None
    if settings.node_provisioner is NodeProvisioner.KARPENTER and await parts.definition.read():
        group.create_task(parts.definition.start_over_when_changed(), name="definition")
        on_definition = parts.definition.heard
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=handlers.watches(
            parts.wake,
            parts.connection.fresh_configuration,
            settings.node_provisioner,
            on_definition,
        ),
        settings=handlers.watching(settings.node_provisioner),
        memories=handlers.Forgetful(),
        clusterwide=True,
        standalone=True,
        # Else kopf looks the user's name up, and the user of a container has none.
        identity=settings.pod_name,  # type: ignore[arg-type]  # a str under kopf's private name
    )
    _stop_on_signals(stop)  # kopf has just put its own handlers in place of ours
    await kopf.run_tasks(tasks, ignored=others)
    message = "the watches ended; the log has the reason"
    raise BadStart(message)


async def _check_definition(lease: Lease) -> None:
    try:
        await lease.cluster.list(WORKSPACE, namespace=lease.namespace)  # few: the kind counts
    except Gone:
        message = (
            "this cluster does not know kaito.sh/v1beta1 Workspaces; "
            "install the CustomResourceDefinition, which the chart atelier brings"
        )
        raise BadStart(message) from None
    except ClusterError as error:
        message = f"the API server cannot be used: {error}"
        raise BadStart(message) from error


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work, or cancel it and return as soon as a stop is asked for."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
    if not working.cancelled():
        working.result()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _leave_quietly(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep quiet about generators of kopf's watches that are closed in the midst of a read."""
    logger.debug("left behind", extra={"what": context.get("message")})


def _least_pause(error: Exception) -> float:
    """Return how long an error asks us to stay away; a namespace on its way out asks for haste."""
    if isinstance(error, Throttled):
        return error.retry_after_seconds
    if not isinstance(error, Forbidden) or error.namespace_is_terminating or error.of_a_read:
        return 0.0
    return FORBIDDEN_PAUSE_SECONDS


def _always() -> None:
    """Let every write pass."""
