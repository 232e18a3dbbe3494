"""
Come from a folder of weights to a model that can be asked, saying how far it is.

Runs in a thread while the port is already open. The weights' lock file is checked while torch is
imported: both take seconds, one the disk and the other a core. Whatever is wrong with folder, lock,
tokenizer, device or bounds ends as one sentence.

Must not import torch at module level: `assembly` does, and is imported here inside the thread.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model_presets.catalog import UnknownPreset, load_catalog
from model_presets.lock import LOCK_NAME, WrongWeights, read_lock, verify
from model_presets.preset import InvalidPreset, Preset

from model_server.api.lifecycle import AdapterIdentity, Lifecycle, ModelIdentity, Phase
from model_server.api.model_names import ModelNames
from model_server.api.service import ServedModel
from model_server.compute.adapter_config import BadAdapter
from model_server.compute.adapter_files import AdapterCheckpoint, ServedBase, read_adapters
from model_server.compute.checkpoint import BadCheckpoint, read_checkpoint
from model_server.engine.request import InvalidRequest
from model_server.lean_import import lean_transformers
from model_server.preset_shape import refuse_another_shape
from model_server.settings import BadStart, Settings


def find_preset(settings: Settings) -> Preset | None:
    """
    Look the preset up in the catalog.

    Raises:
        BadStart: If no preset has that name.
    """
    if settings.preset is None:
        return None
    try:
        return load_catalog().get(settings.preset)
    except (UnknownPreset, InvalidPreset) as error:
        raise BadStart(f"--preset: {error}") from None


def names_of(settings: Settings, preset: Preset | None) -> ModelNames:
    """
    Return the names to serve under: those given, else the preset's, else the folder's.

    Raises:
        BadStart: If an adapter has a name of the base.
    """
    folder = settings.model.resolve().name or "model"
    names = settings.served_model_names or (preset.names if preset else (folder,))
    adapters = () if settings.merge_adapters else (choice.name for choice in settings.adapters)
    try:
        return ModelNames.of(names, adapters)
    except ValueError as error:
        raise BadStart(f"--adapter: {error}") from None


def identity_of(names: ModelNames) -> ModelIdentity:
    """Say what the model is before its files were looked at: the revision is not known."""
    return ModelIdentity(name=names.primary)


def load(settings: Settings, preset: Preset | None, lifecycle: Lifecycle) -> ServedModel:
    """
    Check, read and assemble the model; call it in a thread.

    Raises:
        BadStart: with the file or flag at fault and what helps.
    """
    try:
        checkpoint = read_checkpoint(settings.model)
        if preset is not None and not (settings.model / LOCK_NAME).exists():
            refuse_another_shape(checkpoint, preset)
        base = base_of(settings.model, preset)
        adapters = read_adapters(settings.adapters, checkpoint, base)
        total = checkpoint.total_bytes + sum(adapter.total_bytes for adapter in adapters)
        lifecycle.loaded(0, total)
        with ThreadPoolExecutor(1) as pool:
            attesting = pool.submit(attest, settings.model, preset, required=settings.require_lock)
            with lean_transformers():
                from model_server.assembly import assemble  # noqa: PLC0415 - torch: seconds

            lifecycle.enter(Phase.LOADING)
            revision, digest = attesting.result()
        identities = tuple(_identity(adapter, settings) for adapter in adapters)
        name = lifecycle.now().model.name
        lifecycle.identify(
            ModelIdentity(name=name, revision=revision, digest=digest, adapters=identities)
        )
        return assemble(settings, preset, lifecycle, adapters)
    except (BadCheckpoint, WrongWeights, InvalidPreset, BadAdapter) as error:
        raise BadStart(str(error)) from error
    except InvalidRequest as error:
        raise BadStart(f"--{error.field.replace('_', '-')}: {error.reason}") from error
    except OSError as error:
        raise BadStart(f"{settings.model}: {error}") from error


def base_of(directory: Path, preset: Preset | None) -> ServedBase:
    """
    Say what adapters must have been trained on, as far as it is known.

    Raises:
        WrongWeights: If the folder has a lock file that is none.
    """
    if preset is not None:
        return ServedBase(names=preset.names, revision=preset.revision)
    if not (directory / LOCK_NAME).exists():
        return ServedBase()
    lock = read_lock(directory)
    return ServedBase(names=(lock.repo,), revision=lock.revision)


def _identity(adapter: AdapterCheckpoint, settings: Settings) -> AdapterIdentity:
    return AdapterIdentity(
        name=adapter.name,
        digest=adapter.digest(),
        strength=adapter.strength,
        is_merged=settings.merge_adapters,
    )


def attest(
    directory: Path, preset: Preset | None, *, required: bool = False
) -> tuple[str | None, str | None]:
    """
    Compare the folder with its lock file, where it has one.

    Args:
        directory: The folder of weights.
        preset: What they must be of.
        required: Whether a folder without a lock is refused.

    Returns:
        The revision that the files are of, and the lock's digest; without a lock neither is known.

    Raises:
        WrongWeights: If any file is not what the lock says, or the lock is of another preset.
    """
    if not required and not (directory / LOCK_NAME).exists():
        return None, None
    lock = read_lock(directory)
    verify(directory, lock, preset)
    return lock.revision, lock.digest
