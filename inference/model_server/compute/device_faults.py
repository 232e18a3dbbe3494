"""
Tell the faults of a device apart: too little memory, which passes, and all others, which do not.

After a CUDA fault other than out of memory (an illegal access, a lost device, an error of the
memory itself) the context of the process is broken for good: every later call fails as well, so the
process has to be replaced. torch raises torch.AcceleratorError for these; where the error comes
through a library, only the text of a RuntimeError tells.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from model_server.engine.batch import OutOfMemory, RunnerLost

# Source: messages of torch 2.11 to 2.15 (c10/cuda/CUDAException, aten/cuda/Exceptions), 2026-11.
LOST = (
    "CUDA error",
    "CUDA driver error",
    "CUBLAS_STATUS_",
    "CUDNN_STATUS_",
    "NCCL error",
    "device-side assert",
    "unspecified launch failure",
)
# The messages that mean memory in a RuntimeError of another type: a CPU's allocator has none.
MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


@contextmanager
def device_faults() -> Iterator[None]:
    """
    Translate what torch raises within.

    Raises:
        OutOfMemory: If memory ran out; what was cached for reuse has been given back.
        RunnerLost: If the device will not compute again.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _out_of_memory(error) from error
    except MemoryError as error:
        raise _out_of_memory(error) from error
    except torch.AcceleratorError as error:
        raise _lost_or_memory(error) from error
    except RuntimeError as error:
        if not _names(error, (*LOST, *MEMORY)):
            raise
        raise _lost_or_memory(error) from error


def _lost_or_memory(error: RuntimeError) -> Exception:
    if _names(error, MEMORY):
        return _out_of_memory(error)
    return RunnerLost(f"the device failed: {_first_line(error)}")


def _out_of_memory(error: Exception) -> OutOfMemory:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return OutOfMemory(f"out of memory: {_first_line(error)}")


def _names(error: Exception, words: tuple[str, ...]) -> bool:
    text = str(error)
    return any(word in text for word in words)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
