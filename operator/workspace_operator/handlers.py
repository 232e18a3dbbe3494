"""
Let kopf watch, and do nothing else: each handler hands the object on and returns.

`on.event` only: kopf's other handlers write annotations and finalizers of their own, four thousand
times at a restart with a thousand Workspaces, and miss a deletion that happened while a watch was
cut. Each watch asks the server for our objects alone.
"""

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain, repeat
from typing import Any, Protocol, cast

import kopf

# Not exported by kopf, which takes them by its public `memories=`.
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from workspace_operator.claim_definition import CLAIM_DEFINITION
from workspace_operator.objects.metadata import WORKSPACE_LABEL
from workspace_operator.settings import NodeProvisioner
from workspace_operator.wake import Wake
from workspace_operator.watch_session import quiet_session

DELETED = "DELETED"
ABOUT_CLAIMS = "involvedObject.kind=NodeClaim,type=Warning"  # a field selector
_DEFINITIONS = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
OURS = WORKSPACE_LABEL  # a label selector: objects that carry the label at all


class NothingRemembered(kopf.DiffBaseStorage):
    """
    Spare kopf the copy of every object that it makes to find out what changed.

    Only its handlers of changes need that, and we have none; it was half of kopf's work per event.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:  # noqa: ANN401 - kopf's arguments
        """Find nothing worth a comparison in an object."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        """Remember nothing from last time."""

    def store(self, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        """Write nothing down."""


class Forgetful(ResourceMemories):
    """
    Spare kopf its record of each object: 0.9 kB for each of six objects of a Workspace.

    It holds the state of handlers that we do not have, and what an object's last event left to be
    tried again, of which we have nothing either.
    """

    async def recall(
        self,
        raw_body: Any,  # noqa: ANN401 - kopf's arguments
        *,
        memobase: Any = None,  # noqa: ANN401 - kopf's arguments
        noticed_by_listing: bool = False,
        ephemeral: bool = True,  # noqa: ARG002 - whatever kopf asks for
    ) -> ResourceMemory:
        """Make a record for one event."""
        return await super().recall(
            raw_body, memobase=memobase, noticed_by_listing=noticed_by_listing, ephemeral=True
        )


class Patience:
    """
    Be the pauses between the tries of a watch or list, in seconds, without an end.

    kopf's own row ends after 54 s, and with it the process: a server that refuses watches for a
    minute (503, 429, a right that comes and goes) would end every operator of the cluster, though
    the sweep needs no watch. What no try can heal (404, 410) still ends it.
    """

    def __iter__(self) -> Iterator[float]:
        """Begin anew, for each request."""
        return chain((1.0, 1.0, 2.0, 3.0, 5.0), repeat(8.0))


class Credentials(Protocol):
    """Be what the Kubernetes client read from a kubeconfig or a ServiceAccount."""

    host: str
    api_key: dict[str, str]
    ssl_ca_cert: str | None
    verify_ssl: bool
    cert_file: str | None
    key_file: str | None
    proxy: str | None


def watches(
    wake: Wake,
    credentials: Callable[[], Awaitable[Credentials]],
    provisioner: NodeProvisioner,
    on_definition: Callable[[dict[str, Any]], None] | None = None,
) -> kopf.OperatorRegistry:
    """
    Return the handlers, bound to the one who wants to be woken.

    Args:
        wake: Who is told.
        credentials: What the requests of the watches use.
        provisioner: Whether there are NodeClaims to watch.
        on_definition: Who is shown the definition of NodeClaims, if anybody may see it.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's arguments
        return quiet_session(connection_info(await credentials()), wake)

    @kopf.on.event("kaito.sh", "v1beta1", "workspaces", registry=registry)
    async def workspace(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        wake.workspace_changed(_object(event), deleted=event["type"] == DELETED)

    @kopf.on.event("", "v1", "nodes", registry=registry)
    async def node(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        wake.node_changed(_object(event), deleted=event["type"] == DELETED)

    @kopf.on.event("apps", "v1", "deployments", registry=registry)
    @kopf.on.event("", "v1", "services", registry=registry)
    @kopf.on.event("networking.k8s.io", "v1", "networkpolicies", registry=registry)
    @kopf.on.event("batch", "v1", "jobs", registry=registry)
    @kopf.on.event("", "v1", "pods", registry=registry)
    async def child(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        wake.child_changed(_object(event), deleted=event["type"] == DELETED)

    if provisioner is NodeProvisioner.KARPENTER:
        _watch_claims(registry, wake)
    if on_definition is not None:
        _watch_definition(registry, on_definition)
    return registry


def _watch_claims(registry: kopf.OperatorRegistry, wake: Wake) -> None:
    @kopf.on.event("karpenter.sh", "v1", "nodeclaims", registry=registry)
    async def claim(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        wake.claim_changed(_object(event), deleted=event["type"] == DELETED)

    @kopf.on.event("", "v1", "events", registry=registry)
    async def spoken_of(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        if event["type"] != DELETED:
            wake.claim_spoken_of(_object(event))


def _watch_definition(
    registry: kopf.OperatorRegistry, on_definition: Callable[[dict[str, Any]], None]
) -> None:
    @kopf.on.event(*_DEFINITIONS, registry=registry)
    async def definition(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401 - kopf's arguments
        if event["type"] != DELETED:
            on_definition(_object(event))


def _object(event: kopf.RawEvent) -> dict[str, Any]:
    return cast("dict[str, Any]", event["object"])


def connection_info(configuration: Credentials) -> kopf.ConnectionInfo:
    """Give kopf the credentials that our own requests use."""
    scheme, _, token = configuration.api_key.get("BearerToken", "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )


def watching(provisioner: NodeProvisioner) -> kopf.OperatorSettings:
    """
    Configure kopf as a watcher: no events, no peering, no frozen watch.

    Source of the timeouts: kopf issues 585, 957 and 1120 (watches that freeze silently).
    """
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = NothingRemembered()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.scanning.disabled = True  # else kopf wants to read every definition in the cluster
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = 50  # objects in hand at a start, of each kind
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = Patience()
    # A worker per object lives on for that long with its last event: much memory after a burst.
    settings.queueing.idle_timeout = 0.05
    settings.queueing.exit_timeout = 1
    settings.process.ultimate_exiting_timeout = 9
    selectors = settings.watching.label_selectors
    for group, plural in (
        ("apps", "deployments"),
        ("", "services"),
        ("networking.k8s.io", "networkpolicies"),
        ("batch", "jobs"),
        ("", "pods"),
        ("karpenter.sh", "nodeclaims"),
    ):
        selectors[group, "v1", plural] = OURS
    if provisioner is NodeProvisioner.KARPENTER:
        selectors["", "v1", "nodes"] = OURS
        settings.watching.field_selectors["", "v1", "events"] = ABOUT_CLAIMS
    settings.watching.field_selectors[_DEFINITIONS] = f"metadata.name={CLAIM_DEFINITION}"
    return settings
