"""A start imports neither torch's compiler nor sympy; whoever needs them later gets them."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(240)  # torch is imported anew

START = """
import asyncio, sys
from pathlib import Path
from model_server.api.lifecycle import Lifecycle
from model_server.web.server import first_token
from model_server.settings import Settings
from model_server.startup import find_preset, identity_of, load, names_of

settings = Settings(model=Path(sys.argv[1]), preset="tiny-mistral", device="cpu")
preset = find_preset(settings)
lifecycle = Lifecycle(identity_of(names_of(settings, preset)))

async def start():
    model = load(settings, preset, lifecycle)
    model.engine.start()
    await first_token(model)
    await model.engine.stop(0)

asyncio.run(start())
"""
SPARED = """
spared = {"sympy", "torch._dynamo", "torch._inductor", "torch.distributed.tensor"}
spared |= {"pandas", "triton", "mistral_common"}
assert not spared & set(sys.modules), spared & set(sys.modules)
"""
STILL_THERE = """
import torch
import torch._dynamo
from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex
from torch.nn.attention.flex_attention import flex_attention
assert torch._dynamo.__spec__ and torch._dynamo.is_compiling() is False
assert torch._dynamo.disable(lambda: 7)() == 7
assert isinstance(TransformGetItemToIndex(), TransformGetItemToIndex)
assert torch.nn.Linear(3, 3).weight.std() > 0  # first values are drawn again
"""


def run(program: str, *arguments: str) -> None:
    line = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr


def test_a_start_spares_what_it_never_uses_and_takes_nothing_away(tiny_weights: Path) -> None:
    run(START + SPARED + STILL_THERE, str(tiny_weights))


def test_a_part_of_the_compiler_that_was_not_foreseen_is_the_real_one() -> None:
    run(
        "import torch\n"
        "from model_server.lean_import import lean_transformers\n"
        "with lean_transformers():\n"
        "    import torch._dynamo.config as config\n"
        "    from torch._dynamo import reset\n"
        "import torch._dynamo\n"
        "assert torch._dynamo.config is config and reset is torch._dynamo.reset\n"
    )
