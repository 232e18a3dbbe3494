"""Faults of a device are told apart: memory passes, everything else ends the process."""

import pytest
import torch
from model_server.compute.device_faults import device_faults
from model_server.engine.batch import OutOfMemory, RunnerLost


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore advice."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        MemoryError("bytes"),
    ],
)
def test_memory_that_runs_out_may_be_there_again(fault: Exception) -> None:
    with pytest.raises(OutOfMemory, match="out of memory: ") as caught, device_faults():
        raise fault
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nMore."),
        torch.AcceleratorError("unknown: anything of an accelerator"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx"),
        RuntimeError("CUDA driver error: device lost"),
    ],
)
def test_a_device_that_failed_is_lost(fault: Exception) -> None:
    with pytest.raises(RunnerLost, match="the device failed: ") as caught, device_faults():
        raise fault
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fault", [RuntimeError("shapes do not match"), ValueError("no")])
def test_a_fault_of_ours_stays_what_it_is(fault: Exception) -> None:
    with pytest.raises(type(fault)) as caught, device_faults():
        raise fault
    assert caught.value is fault


def test_a_real_allocation_that_cannot_be_is_out_of_memory() -> None:
    with pytest.raises(OutOfMemory), device_faults():
        torch.empty(2**60, dtype=torch.uint8)
