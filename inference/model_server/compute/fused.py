"""
Compute Mistral's decoder with few and large operations, on the very weights of its modules.

transformers computes a layer in 51 operations behind a tower of calls. Here queries, keys and
values are one product, gate and up another, and the rest goes through `Operations`: plain torch
(`TORCH`), or the kernels of a GPU. In float32 the tokens are those of transformers' own forward.

The modules stay whole. The weights of one product are laid one behind the other in one storage, and
each module's parameter becomes a view of its part: names, values, `state_dict` and merged adapters
are what they were, and nothing is kept twice. Layer by layer, so that a card that just holds the
weights can do it.

    storage   | q_proj.weight | k_proj.weight | v_proj.weight |     one product: (H + 2 H_kv) D rows

With `is_packed` a product is then packed for oneDNN (packed_linear.py), and `PackedLinear`s take
the places of its modules: a model like that computes here and nowhere else. Embeddings stay plain,
and a head that shares their weight with them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from model_server.compute.attention import StepContext, attend_step
from model_server.compute.kernels import twins
from model_server.compute.layer_cache import LayerCache
from model_server.compute.lora import Adapters
from model_server.compute.packed_linear import PackedLinear, multiply, pack

QKV = ("q_proj", "k_proj", "v_proj")
OUTPUT = ("o_proj",)
GATE_UP = ("gate_proj", "up_proj")
DOWN = ("down_proj",)
HEAD = ("lm_head",)


# Queries (T, H, D), the layer's cache, the step, the factor of the scores -> (T, H, D)
Attend = Callable[[Tensor, LayerCache, StepContext, float], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Name what a layer does besides its products; `kernels.twins` says what each means."""

    rms_norm: Callable[[Tensor, Tensor, float], Tensor]
    add_rms_norm: Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
    rotate_and_store: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
    silu_mul: Callable[[Tensor], Tensor]
    attend: Attend


TORCH = Operations(
    rms_norm=twins.rms_norm,
    add_rms_norm=twins.add_rms_norm,
    rotate_and_store=twins.rotate_and_store,
    silu_mul=twins.silu_mul,
    attend=attend_step,
)


def by_table(attend_tokens: Callable[..., Tensor], attend_chunk: Callable[..., Tensor]) -> Attend:
    """Attend with two functions that read tables and no masks: `kernels.twins`, or kernels."""

    def attend(query: Tensor, layer: LayerCache, step: StepContext, scaling: float) -> Tensor:
        parts = []
        rows = step.decode
        if rows is not None:
            parts.append(
                attend_tokens(
                    query[: len(rows.positions)],
                    layer.keys,
                    layer.values,
                    rows.blocks,
                    rows.first_positions,
                    rows.positions,
                    window=step.window,
                    scaling=scaling,
                )
            )
        parts += [
            attend_chunk(
                query[chunk.begin : chunk.end],
                layer.keys,
                layer.values,
                chunk.blocks[0],
                first_position=chunk.first_position,
                position=chunk.position,
                window=step.window,
                scaling=scaling,
            )
            for chunk in step.chunks
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    return attend


@dataclass(frozen=True, slots=True)
class _Product:
    """Hold linear layers of one input as one matrix."""

    weight: Tensor  # (out, in), plain or packed
    multiply: Callable[[Tensor, Tensor], Tensor]  # inputs and that weight
    names: tuple[str, ...]  # full names of the modules, for their adapters
    ends: tuple[int, ...]  # where the outputs of each end

    def of(self, inputs: Tensor, adapters: Adapters | None) -> Tensor:
        """Multiply, and let each module's adapters add theirs: (T, in) -> (T, out)."""
        outputs = self.multiply(inputs, self.weight)
        if adapters is not None:
            begin = 0
            for name, end in zip(self.names, self.ends, strict=True):
                adapters.add_to(name, outputs[:, begin:end], inputs)
                begin = end
        return outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """Point at what one layer computes with."""

    qkv: _Product
    output: _Product
    gate_up: _Product
    down: _Product
    norm_before_attention: Tensor
    norm_before_gate: Tensor


class FusedDecoder:
    """Compute the logits of a step; the fast way of `runner.ModuleForward`."""

    def __init__(
        self,
        model: PreTrainedModel,
        operations: Operations,
        adapters: Adapters | None,
        *,
        is_packed: bool = False,
    ) -> None:
        """
        Lay the weights of each product into one storage; a second time finds them there.

        Args:
            model: Is changed, as the module's docstring says.
            operations: What a layer does besides its products.
            adapters: What hangs beside the weights.
            is_packed: Whether the products are packed for oneDNN: float32, on a CPU.
        """
        config: Any = model.config
        base: Any = model.base_model
        self._operations = operations
        self._adapters = adapters
        self._eps: float = config.rms_norm_eps
        self._embed: nn.Module = base.embed_tokens
        self._angles: nn.Module = base.rotary_emb
        self._last_norm: Tensor = base.norm.weight
        attention = base.layers[0].self_attn
        self._head_size: int = attention.head_dim
        self._scaling: float = attention.scaling
        self._layers = [
            _layer(layer, f"{model.base_model_prefix}.layers.{index}", is_packed=is_packed)
            for index, layer in enumerate(base.layers)
        ]
        self._head = _product(model, HEAD, "", is_packed=is_packed and not _is_tied(model))

    def __call__(
        self, tokens: Tensor, positions: Tensor, step: StepContext, keep: Tensor | None
    ) -> Tensor:
        """
        Compute a step.

        Args:
            tokens: (T,).
            positions: (T,).
            step: Where keys and values are written and read.
            keep: (K,) the tokens whose logits are wanted; None for all.

        Returns:
            (K, V).
        """
        do, eps = self._operations, self._eps
        residual: Tensor = self._embed(tokens)  # (T, C)
        cosines, sines = (part[0] for part in self._angles(residual, position_ids=positions[None]))
        normed = do.rms_norm(residual, self._layers[0].norm_before_attention, eps)
        following = [layer.norm_before_attention for layer in self._layers[1:]]
        for layer, cache, next_norm in zip(
            self._layers, step.layers, [*following, self._last_norm], strict=True
        ):
            heads = layer.qkv.of(normed, self._adapters).view(len(tokens), -1, self._head_size)
            query = do.rotate_and_store(
                heads, cosines, sines, step.slots, cache.keys, cache.values
            )  # (T, H, D)
            attended = do.attend(query, cache, step, self._scaling).flatten(1)
            hidden = layer.output.of(attended, self._adapters)
            residual, normed = do.add_rms_norm(residual, hidden, layer.norm_before_gate, eps)
            gated = do.silu_mul(layer.gate_up.of(normed, self._adapters))
            hidden = layer.down.of(gated, self._adapters)
            residual, normed = do.add_rms_norm(residual, hidden, next_norm, eps)
        return self._head.of(normed if keep is None else normed[keep], None)


def can_be_fused(model: PreTrainedModel) -> bool:
    """Tell whether this is a model whose layers are known here, whole on one device."""
    config: Any = model.config
    devices = {parameter.device for parameter in model.parameters()}
    return config.model_type == "mistral" and config.hidden_act == "silu" and len(devices) == 1


def joined(parts: list[nn.Linear]) -> Tensor:
    """
    Lay the weights of linear layers one behind the other, as views of what is returned.

    Where they lie so already, nothing is copied.
    """
    weights = [part.weight.data for part in parts]
    first, rows = weights[0], sum(len(weight) for weight in weights)
    at = first.data_ptr()
    for weight in weights:
        if weight.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
            break
        if weight.data_ptr() != at or not weight.is_contiguous():
            break
        at += weight.nbytes
    else:
        return first.as_strided((rows, first.shape[1]), first.stride())
    whole = torch.cat(weights)
    for part, view in zip(
        parts, torch.split(whole, [len(weight) for weight in weights]), strict=True
    ):
        part.weight.data = view
    return whole


def _layer(layer: Any, name: str, *, is_packed: bool) -> _Layer:  # noqa: ANN401 - of transformers
    attention, gated = layer.self_attn, layer.mlp
    attention_name, gated_name = f"{name}.self_attn.", f"{name}.mlp."
    return _Layer(
        qkv=_product(attention, QKV, attention_name, is_packed=is_packed),
        output=_product(attention, OUTPUT, attention_name, is_packed=is_packed),
        gate_up=_product(gated, GATE_UP, gated_name, is_packed=is_packed),
        down=_product(gated, DOWN, gated_name, is_packed=is_packed),
        norm_before_attention=layer.input_layernorm.weight,
        norm_before_gate=layer.post_attention_layernorm.weight,
    )


def _product(
    module: nn.Module, names: tuple[str, ...], prefix: str, *, is_packed: bool
) -> _Product:
    parts = [cast("nn.Linear | PackedLinear", module.get_submodule(name)) for name in names]
    ends = torch.tensor([part.out_features for part in parts]).cumsum(0).tolist()
    full_names = tuple(prefix + name for name in names)
    plain = [part for part in parts if not isinstance(part, PackedLinear)]
    if plain and not is_packed:
        return _Product(joined(plain), functional.linear, full_names, tuple(ends))
    if plain:
        packed = pack(joined(plain))
        for name, part in zip(names, plain, strict=True):
            module.set_submodule(name, PackedLinear(packed, part.out_features))
    taken = cast("PackedLinear", module.get_submodule(names[0]))
    return _Product(taken.packed, multiply, full_names, tuple(ends))


def _is_tied(model: PreTrainedModel) -> bool:
    """Tell whether the head's weight is that of the embeddings, which stays plain."""
    base: Any = model.base_model
    head = cast("nn.Linear | PackedLinear", model.lm_head)
    return not isinstance(head, PackedLinear) and head.weight is base.embed_tokens.weight
