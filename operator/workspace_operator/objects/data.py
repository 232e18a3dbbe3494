"""
Bring data into a pod: from an image, from addresses, or as a volume of the user's own.

An image and addresses are fetched by an init container of the same image as the pod's own, into an
emptyDir with a limit; the program that fetches checks what comes, and says in one sentence what
went wrong. Secrets are mounted, never read by the operator.

Must not import the other kinds of `objects`, but for the frame.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from workspace_operator.api import DataSource, Workspace
from workspace_operator.objects.pod_frame import HOME, SCRATCH_MOUNTS, SECURITY
from workspace_operator.plan import Plan
from workspace_operator.registries import HTTP_PORT, HTTPS_PORT, port_of, registry_of
from workspace_operator.settings import Settings
from workspace_operator.snapshot import Manifest

# Where Docker's configuration lies in a Secret of type kubernetes.io/dockerconfigjson.
# Source: k8s.io/api/core/v1, DockerConfigJsonKey.
DOCKER_CONFIG_KEY = ".dockerconfigjson"
FETCH_RESOURCES: Manifest = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"memory": "2Gi"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Hold what a pod needs so that data is there: volumes, their mounts, and who fetches."""

    volumes: tuple[Manifest, ...] = ()
    mounts: tuple[Manifest, ...] = ()
    init_containers: tuple[Manifest, ...] = ()


def supply(
    source: DataSource, name: str, folder: str, plan: Plan, settings: Settings, *, size_gib: int
) -> Supply:
    """
    Return what brings one source into a pod.

    Args:
        source: Where the data comes from.
        name: Of its volume.
        folder: Where the pod's own container finds it, read-only.
        plan: Names the image that fetches.
        settings: Says when that is pulled, and which registries have no TLS.
        size_gib: The most that may be fetched.
    """
    mount = {"name": name, "mountPath": folder, "readOnly": True}
    if source.volume_source is not None:
        return Supply(volumes=({**source.volume_source, "name": name},), mounts=(mount,))
    volumes: list[Manifest] = [{"name": name, "emptyDir": {"sizeLimit": f"{size_gib}Gi"}}]
    mounts: list[Manifest] = [*SCRATCH_MOUNTS, {"name": name, "mountPath": folder}]
    if source.image:
        command = ["python", "-m", "model_presets", "pull-image", source.image, folder]
        if source.image_pull_secrets:
            secrets = f"{name}-secrets"
            place = f"/mnt/secrets/{name}"
            volumes.append(docker_configs(secrets, source.image_pull_secrets))
            mounts.append({"name": secrets, "mountPath": place, "readOnly": True})
            command += ["--auth", place]
        if settings.speaks_plain_http(source.image):
            command.append("--plain-http")
    else:
        addresses = [word for url in source.urls for word in ("--url", url)]
        command = ["python", "-m", "model_tuning", "fetch", *addresses, "--output", folder]
    fetcher = {
        "name": f"fetch-{name}",
        "image": plan.image,
        "imagePullPolicy": str(settings.image_pull_policy),
        "command": command,
        "env": [{"name": "HOME", "value": HOME}],
        "resources": FETCH_RESOURCES,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": SECURITY,
        "volumeMounts": mounts,
    }
    return Supply(volumes=tuple(volumes), mounts=(mount,), init_containers=(fetcher,))


def together(supplies: Iterable[Supply]) -> Supply:
    """Return several as one."""
    several = tuple(supplies)
    return Supply(
        volumes=tuple(volume for each in several for volume in each.volumes),
        mounts=tuple(mount for each in several for mount in each.mounts),
        init_containers=tuple(one for each in several for one in each.init_containers),
    )


def docker_configs(name: str, secrets: tuple[str, ...]) -> Manifest:
    """Return the volume in which pull secrets lie side by side: 0.json, 1.json and so on."""
    return {
        "name": name,
        "projected": {
            "defaultMode": 0o440,
            "sources": [
                {
                    "secret": {
                        "name": secret,
                        "items": [{"key": DOCKER_CONFIG_KEY, "path": f"{number}.json"}],
                    }
                }
                for number, secret in enumerate(secrets)
            ],
        },
    }


def ports_out(workspace: Workspace, settings: Settings) -> tuple[int, ...]:
    """
    Return the TCP ports that a pod of this Workspace has to reach for its data.

    A registry sends its layers from elsewhere, so HTTPS is open wherever one is spoken to.
    """
    found: set[int] = set()
    for source in _sources(workspace):
        for url in source.urls:
            plain = url.lower().startswith("http:")
            found.add(HTTP_PORT if plain else HTTPS_PORT)
            found.update(_named(re.split("[/?#]", url.partition("://")[2])[0]))
        if source.image:
            found.update(_of_registry(source.image, settings))
    if workspace.tuning and workspace.tuning.output.image:
        found.update(_of_registry(workspace.tuning.output.image, settings))
    return tuple(sorted(found))


def _sources(workspace: Workspace) -> list[DataSource]:
    if workspace.tuning:
        return [workspace.tuning.input]
    adapters = workspace.inference.adapters if workspace.inference else ()
    return [each.source for each in adapters if each.source is not None]


def _of_registry(image: str, settings: Settings) -> set[int]:
    plain = settings.speaks_plain_http(image)
    named = _named(registry_of(image))
    return {HTTPS_PORT, *(named or ({HTTP_PORT} if plain else ()))}


def _named(host: str) -> set[int]:
    port = port_of(host)
    return {port} if port else set()
