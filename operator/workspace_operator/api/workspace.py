"""
What a user writes: the Workspace of KAITO's API (``kaito.sh``), field by field.

Every description below is the user's reference: it becomes the description in the
CustomResourceDefinition, shown by ``kubectl explain``. Limits that one field can state alone stand
here; what fields must satisfy together is in ``rules``. Field names, defaults and meanings are
KAITO's. Source: kaito-project/kaito, api/v1beta1/workspace_types.go at v0.12.0.
Must not import kopf, kubernetes, asyncio, os or time.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from workspace_operator.api.model import Integer, Model, Timestamp
from workspace_operator.api.status import WorkspaceStatus

GROUP = "kaito.sh"
KIND = "Workspace"
PLURAL = "workspaces"
STORED_VERSION = "v1beta1"
ALPHA_VERSION = "v1alpha1"
FINALIZER = "workspace.finalizer.kaito.sh"

MAX_ADAPTERS = 10
NAME_MAX_LENGTH = 253
IMAGE_MAX_LENGTH = 1024

ObjectName = Annotated[str, Field(max_length=NAME_MAX_LENGTH)]
ImageReference = Annotated[str, Field(max_length=IMAGE_MAX_LENGTH)]
SecretNames = Annotated[tuple[ObjectName, ...], Field(max_length=16)]


class LabelExpression(Model):
    """One requirement on a node label: a key, an operator, and the values it speaks of."""

    key: Annotated[str, Field(max_length=317)] = Field(description="Label key of the node.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the key relates to the values: In, NotIn, Exists or DoesNotExist."
    )
    values: Annotated[tuple[Annotated[str, Field(max_length=63)], ...], Field(max_length=64)] = (
        Field(
            default=(),
            description="Values for In and NotIn; must be empty for Exists and DoesNotExist.",
        )
    )


class LabelSelector(Model):
    """Which nodes belong to the Workspace. Cannot be changed after creation."""

    match_labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)
    ] = Field(
        default_factory=dict,
        description=(
            "Labels that a node must carry. New nodes are given these labels; existing nodes are "
            "chosen by them. At least one must be your own, such as apps: mistral; the "
            "labels of kaito.sh itself do not count."
        ),
    )
    match_expressions: Annotated[tuple[LabelExpression, ...], Field(max_length=32)] = Field(
        default=(),
        description="Further requirements on existing nodes; all must hold.",
    )


class Partition(Model):
    """A share of a node's GPUs instead of all of them, on nodes that you bring yourself."""

    mode: Literal["mig", "accelerator"] = Field(
        description="mig for one MIG slice, accelerator for a number of whole GPUs."
    )
    profile: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="MIG profile such as 1g.10gb; for mode mig only."
    )
    count: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="Number of GPUs; for mode accelerator only."
    )


class Resource(Model):
    """The GPU nodes of the Workspace."""

    count: Annotated[int, Field(strict=True, ge=1)] = Field(
        default=1,
        description="Number of nodes, each with one replica of the model. May be changed.",
    )
    instance_type: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description=(
            "Instance type of the cloud, such as Standard_NC24ads_A100_v4. Without one the "
            "cheapest type that holds the preset is taken. Leave it out for nodes that you bring "
            "yourself. Cannot be changed once set."
        ),
    )
    label_selector: LabelSelector = Field(
        description="Which nodes belong to the Workspace. Cannot be changed after creation."
    )
    preferred_nodes: Annotated[tuple[ObjectName, ...], Field(max_length=1000)] = Field(
        default=(),
        description="Deprecated and without effect: name nodes by labelSelector instead.",
    )
    partition: Partition | None = Field(
        default=None,
        description=(
            "A share of a node's GPUs instead of all of them, on nodes that you bring yourself. "
            "Cannot be changed after creation."
        ),
    )


class PresetOptions(Model):
    """Where the preset's image and gated weights come from."""

    image: ImageReference | None = Field(
        default=None,
        description="Image that carries server and weights, in place of the operator's own.",
    )
    image_pull_secrets: SecretNames = Field(
        default=(), description="Secrets of this namespace to pull the image with."
    )
    model_access_secret: ObjectName | None = Field(
        default=None,
        description="Secret of this namespace whose key HF_TOKEN opens a gated model.",
    )


class Preset(Model):
    """The model, by its name in the catalog."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_MAX_LENGTH)] = Field(
        description="Name of the model, such as mistral-7b-instruct, or its id on the hub."
    )
    access_mode: Literal["public", "private"] = Field(
        default="public",
        description="Deprecated: private means that presetOptions.image names the image.",
    )
    preset_options: PresetOptions | None = Field(
        default=None, description="Where the preset's image and gated weights come from."
    )


class DataSource(Model):
    """Where data comes from: exactly one of urls, volumeSource and image."""

    name: ObjectName | None = Field(
        default=None, description="Name of the source; a DNS-1123 subdomain."
    )
    urls: Annotated[tuple[Annotated[str, Field(max_length=2048)], ...], Field(max_length=32)] = (
        Field(default=(), description="Public http or https addresses to download from.")
    )
    volume_source: dict[str, Any] | None = Field(
        default=None, description="A volume of the Pod API that holds the data."
    )
    image: ImageReference | None = Field(
        default=None, description="An image whose folder /data holds the data."
    )
    image_pull_secrets: SecretNames = Field(
        default=(), description="Secrets of this namespace to pull the image with."
    )


class DataDestination(Model):
    """Where results go: exactly one of volumeSource and image."""

    volume_source: dict[str, Any] | None = Field(
        default=None, description="A volume of the Pod API that takes the results."
    )
    image: ImageReference | None = Field(
        default=None, description="An image to push the results as; needs imagePushSecret."
    )
    image_push_secret: ObjectName | None = Field(
        default=None, description="Secret of this namespace to push the image with."
    )


class Adapter(Model):
    """A LoRA adapter that is added to the model."""

    source: DataSource | None = Field(
        default=None,
        description="Where the adapter comes from: a name, and an image or a volumeSource.",
    )
    strength: Annotated[str, Field(max_length=32)] | None = Field(
        default=None,
        description='Weight of the adapter as a decimal from "0" to "1", in quotes; 1.0 if absent.',
    )


class Inference(Model):
    """A model to serve: a preset of the catalog, or a pod template of your own."""

    preset: Preset | None = Field(
        default=None,
        description="The model, by its name in the catalog. Cannot be changed after creation.",
    )
    template: dict[str, Any] | None = Field(
        default=None,
        description=(
            "A PodTemplateSpec to run instead of a preset. The Service leads to its port named "
            "http, else to the first that a container declares, else to 5000."
        ),
    )
    config: ObjectName | None = Field(
        default=None,
        description="ConfigMap of this namespace with the key inference_config.yaml.",
    )
    adapters: Annotated[tuple[Adapter, ...], Field(max_length=MAX_ADAPTERS)] = Field(
        default=(), description="LoRA adapters that are added to the model, at most 10."
    )


class Tuning(Model):
    """A tuning job: a preset, data in, an adapter out."""

    preset: Preset | None = Field(
        default=None, description="The model to tune. Cannot be changed after creation."
    )
    method: Annotated[str, Field(max_length=16)] | None = Field(
        default=None, description="lora or qlora. Cannot be changed after creation."
    )
    config: ObjectName | None = Field(
        default=None, description="ConfigMap of this namespace with the key training_config.yaml."
    )
    input: DataSource = Field(description="The data to train on.")
    output: DataDestination = Field(description="Where the adapter goes.")


class Workspace(Model):
    """One model on GPU nodes of its own: what the user asks for, and the operator's last report."""

    api_version: str = f"{GROUP}/{STORED_VERSION}"
    name: str
    namespace: str
    uid: str = ""
    generation: Integer = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    resource: Resource = Field(description="The GPU nodes of the Workspace.")
    inference: Inference | None = Field(
        default=None, description="A model to serve; either this or tuning."
    )
    tuning: Tuning | None = Field(
        default=None, description="A tuning job to run; either this or inference."
    )
    status: WorkspaceStatus = Field(
        default_factory=WorkspaceStatus, description="What the operator reports; read only."
    )
