"""
A Mistral in its maker's layout: random weights under its names, and a forward pass of its own.

Written from the description of the architecture (arXiv:2310.06825, arXiv:2401.04088), with complex
rotations of neighbouring pairs, so that it shares nothing with transformers' modules.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import mistral_common
import torch
from torch import Tensor

VOCABULARY = Path(mistral_common.__file__).parent / "data" / "tokenizer.model.v1"
PARAMS: dict[str, Any] = {
    "dim": 48,
    "n_layers": 2,
    "head_dim": 16,
    "hidden_dim": 96,
    "n_heads": 4,
    "n_kv_heads": 2,
    "norm_eps": 1e-05,
    "vocab_size": 32000,
    "rope_theta": 10000.0,
}
MOE = {"num_experts": 4, "num_experts_per_tok": 2}


def random_state(params: dict[str, Any]) -> dict[str, Tensor]:
    """Draw weights under Mistral's names; norms near one, so that a swapped one shows."""
    draws = torch.Generator().manual_seed(3)
    dim, head_dim, hidden = params["dim"], params["head_dim"], params["hidden_dim"]

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws) * 0.2

    state = {
        "tok_embeddings.weight": drawn(params["vocab_size"], dim),
        "norm.weight": 1 + drawn(dim),
        "output.weight": drawn(params["vocab_size"], dim),
    }
    for layer in range(params["n_layers"]):
        own = f"layers.{layer}"
        for name, heads in (("wq", params["n_heads"]), ("wk", params["n_kv_heads"])):
            state[f"{own}.attention.{name}.weight"] = drawn(heads * head_dim, dim)
        state[f"{own}.attention.wv.weight"] = drawn(params["n_kv_heads"] * head_dim, dim)
        state[f"{own}.attention.wo.weight"] = drawn(dim, params["n_heads"] * head_dim)
        state[f"{own}.attention_norm.weight"] = 1 + drawn(dim)
        state[f"{own}.ffn_norm.weight"] = 1 + drawn(dim)
        if "moe" in params:
            state[f"{own}.feed_forward.gate.weight"] = drawn(MOE["num_experts"], dim)
        parts = (
            [f"{own}.feed_forward.experts.{each}" for each in range(MOE["num_experts"])]
            if "moe" in params
            else [f"{own}.feed_forward"]
        )
        for part in parts:
            state[f"{part}.w1.weight"] = drawn(hidden, dim)
            state[f"{part}.w2.weight"] = drawn(dim, hidden)
            state[f"{part}.w3.weight"] = drawn(hidden, dim)
    return state


def write_raw(directory: Path, params: dict[str, Any], state: dict[str, Tensor]) -> Path:
    """Write params.json and tokenizer.model; the weights are the caller's."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "params.json").write_text(json.dumps(params))
    shutil.copyfile(VOCABULARY, directory / "tokenizer.model")
    torch.save(state, directory / "consolidated.00.pth")
    return directory


def logits(params: dict[str, Any], state: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Return the logits of one sequence: ids (T) -> (T, V)."""
    length, head_dim = len(ids), params["head_dim"]
    frequencies = params["rope_theta"] ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.outer(torch.arange(length), frequencies)
    turns = torch.polar(torch.ones_like(angles), angles)[:, None]  # (T, 1, D/2)
    causal = torch.full((length, length), float("-inf")).triu(1)
    x = state["tok_embeddings.weight"][ids]

    def norm(x: Tensor, name: str) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + params["norm_eps"])
        return x * scale * state[f"{name}.weight"]

    def rotated(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    def swiglu(x: Tensor, part: str) -> Tensor:
        gate = torch.nn.functional.silu(x @ state[f"{part}.w1.weight"].T)
        return (gate * (x @ state[f"{part}.w3.weight"].T)) @ state[f"{part}.w2.weight"].T

    def feed_forward(x: Tensor, part: str) -> Tensor:
        if "moe" not in params:
            return swiglu(x, part)
        weights, chosen = (x @ state[f"{part}.gate.weight"].T).topk(MOE["num_experts_per_tok"])
        weights = weights.softmax(-1)
        rows = []
        for row, shares, experts in zip(x, weights, chosen, strict=True):
            outs = [
                share * swiglu(row, f"{part}.experts.{int(each)}")
                for share, each in zip(shares, experts, strict=True)
            ]
            rows.append(torch.stack(outs).sum(0))
        return torch.stack(rows)

    for layer in range(params["n_layers"]):
        own = f"layers.{layer}"
        y = norm(x, f"{own}.attention_norm")
        q, k, v = (
            (y @ state[f"{own}.attention.w{each}.weight"].T).view(length, -1, head_dim)
            for each in "qkv"
        )
        q, k = rotated(q), rotated(k)
        groups = params["n_heads"] // params["n_kv_heads"]
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = torch.einsum("thd,shd->hts", q, k) / head_dim**0.5 + causal
        seen = torch.einsum("hts,shd->thd", scores.softmax(-1), v).flatten(1)
        x = x + seen @ state[f"{own}.attention.wo.weight"].T
        x = x + feed_forward(norm(x, f"{own}.ffn_norm"), f"{own}.feed_forward")
    return norm(x, "norm") @ state["output.weight"].T
