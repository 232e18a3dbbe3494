"""
Import transformers' models without torch's compiler, its symbolic mathematics and its meshes.

`import torch, transformers` takes 4.5 s of a core; a first model takes 7 s more (transformers 5.23,
torch 2.15), of which 5.5 s import what this server never uses: torch._dynamo (for decorators that
concern compiled code), distributed tensors, and sympy behind flex attention and behind arithmetic
on tensors without memory. A pod pays that at every start, and whoever waits for it pays too.

transformers runs without distributed tensors and without flex attention where torch lacks them, so
it is told that torch lacks them; and that mistral-common is absent, as in the image: with it
transformers would read tokenizers by other code than there. torch._dynamo has a stand-in while
transformers' modules are imported: its decorators return what they are given. Whoever asks the
stand-in for anything else gets the real module, later and slower, and so does everyone afterwards.

Must not import torch or transformers at module level.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

DYNAMO = "torch._dynamo"
MASK_HELPER = "torch._dynamo._trace_wrapped_higher_order_op"
ROPE = "compute_default_rope_parameters"
SPARED = (
    "is_torch_distributed_available",
    "is_torch_flex_attn_available",
    "is_mistral_common_available",
)


@contextmanager
def lean_transformers() -> Iterator[None]:
    """Import models inside; without effect where torch's compiler is there already."""
    if DYNAMO in sys.modules:
        yield
        return
    _claim_absent()
    decorators = dict.fromkeys(("assume_constant_result", "allow_in_graph", "disable"), _unchanged)
    _stand_in(DYNAMO, decorators)
    _stand_in(MASK_HELPER, {"TransformGetItemToIndex": _real_mask_helper})
    finder = _RealOnDemand()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _withdraw()


@contextmanager
def no_first_values() -> Iterator[None]:
    """
    Make layers without first values inside: a checkpoint brings all of them.

    transformers makes a model of tensors without memory. Drawing random numbers for them, or
    computing with them, goes through torch's references in Python, which import sympy and the
    compiler after all, 4 s. So weights are not drawn, and angles are computed on the CPU.
    """
    nn, torch = importlib.import_module("torch.nn"), importlib.import_module("torch")
    models = importlib.import_module("transformers.models")

    def angles(method: Callable[..., Any]) -> Any:  # noqa: ANN401 - a static method of another's class
        def on_cpu(*arguments: object, **named: object) -> object:
            with torch.device("cpu"):
                return method(*arguments, **named)

        return staticmethod(on_cpu)

    patches: list[tuple[Any, str, Any]] = [
        (kind, "reset_parameters", lambda _self: None) for kind in (nn.Linear, nn.Embedding)
    ]
    embeddings = (
        models.mistral.modeling_mistral.MistralRotaryEmbedding,
        models.mixtral.modeling_mixtral.MixtralRotaryEmbedding,
    )
    patches += [(kind, ROPE, angles(getattr(kind, ROPE))) for kind in embeddings]
    before = [vars(kind)[name] for kind, name, _ in patches]
    for kind, name, method in patches:
        setattr(kind, name, method)
    try:
        yield
    finally:
        for (kind, name, _), method in zip(patches, before, strict=True):
            setattr(kind, name, method)


def _claim_absent() -> None:
    """Answer no where transformers asks for what is spared; for good, so that all of it agrees."""
    utils = importlib.import_module("transformers.utils")
    for module in (utils, utils.import_utils):
        for name in SPARED:
            if hasattr(module, name):
                setattr(module, name, lambda: False)


def _stand_in(name: str, attributes: dict[str, Any]) -> None:
    """Put a module into the place of another: with these attributes, else the real one's."""
    module = ModuleType(name)

    def real_attribute(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return getattr(_real(name), attribute)

    vars(module).update(attributes, __path__=[], __getattr__=real_attribute)
    sys.modules[name] = module


def _real_mask_helper(*arguments: object) -> object:
    """Make the one thing of the compiler that transformers' masks name, when it is used."""
    return _real(MASK_HELPER).TransformGetItemToIndex(*arguments)


def _unchanged(
    function: Callable[..., Any] | None = None, *_: object, **__: object
) -> Callable[..., Any]:
    """Decorate with nothing, called with or without arguments."""
    return _unchanged if function is None else function


class _RealOnDemand:
    """Bring the real module in when one of its other parts is imported."""

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(f"{DYNAMO}.") or not _is_stand_in(DYNAMO):
            return None
        _real(DYNAMO)
        return importlib.util.find_spec(name)


def _is_stand_in(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and module.__spec__ is None


def _withdraw() -> None:
    for name in (DYNAMO, MASK_HELPER):
        if _is_stand_in(name):
            del sys.modules[name]


def _real(name: str) -> Any:  # noqa: ANN401 - a module has attributes of its own
    _withdraw()
    return importlib.import_module(name)
