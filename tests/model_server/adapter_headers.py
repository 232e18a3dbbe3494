"""Safetensors files of given shapes, full of zeros, written without torch."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path


def write_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "F32") -> None:
    """Write tensors of four bytes a number."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        end = offset + 4 * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(offset))
