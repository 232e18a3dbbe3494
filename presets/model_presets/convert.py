"""
Turn pickled PyTorch shards into safetensors, once, before any server sees them.

A pickle can run code when it is read. Some revisions of 2023 hold nothing else, so the image build
reads them here with `weights_only`, which takes tensors and refuses all the rest, and writes
safetensors in their place. The hashes of both go into the lock, so that the way back stays visible.

torch and safetensors are imported where they are used.
"""

import json
import re
from pathlib import Path

from model_presets.lock import LockedFile, WrongWeights, hash_files

_SHARD = re.compile(r"pytorch_model(-\d{5}-of-\d{5})?\.bin")


def convert(directory: Path) -> tuple[LockedFile, ...]:
    """
    Replace every pickled shard of a folder by safetensors of the same tensors.

    Returns:
        What the shards were, for the lock; empty where there was nothing to do.

    Raises:
        WrongWeights: when a shard holds anything but tensors.
    """
    shards = sorted(path for path in directory.iterdir() if _SHARD.fullmatch(path.name))
    if not shards:
        return ()
    described = tuple(hash_files(directory, shards))
    weight_map: dict[str, str] = {}
    total = 0
    for shard in shards:
        target = shard.with_name(shard.name.replace("pytorch_model", "model")).with_suffix(
            ".safetensors"
        )
        names, size = _convert_shard(shard, target)
        weight_map.update(dict.fromkeys(names, target.name))
        total += size
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        text = json.dumps(index, indent=2) + "\n"
        (directory / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    for shard in shards:
        shard.unlink()
    (directory / "pytorch_model.bin.index.json").unlink(missing_ok=True)
    return described


def _convert_shard(shard: Path, target: Path) -> tuple[list[str], int]:
    """Write one shard's tensors; return their names and their bytes."""
    import pickle  # noqa: PLC0415 - for the name of the error only

    import torch  # noqa: PLC0415 - see the module's docstring
    from safetensors.torch import save_file  # noqa: PLC0415 - see the module's docstring

    try:
        content = torch.load(shard, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WrongWeights(shard, f"holds more or less than tensors ({error})") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor)
        for name, tensor in content.items()
    ):
        raise WrongWeights(shard, "is not a mapping of names to tensors; fetch it again")
    tensors = {name: tensor.contiguous() for name, tensor in content.items()}
    save_file(tensors, target, metadata={"format": "pt"})
    target.chmod(0o644)
    return list(tensors), sum(tensor.nbytes for tensor in tensors.values())
