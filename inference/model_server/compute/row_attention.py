"""
Attend with one token of each of many sequences, on rows of keys and values.

For each pair of sequence and head of keys there are two products with a handful of queries: in a
small model 2 of 32 numbers each, against 256 keys. On such matrices the library behind numpy takes
half to a third of the time of the one behind torch. So where the products are small and many they
are numpy's, on the very memory of the tensors, and everywhere else SDPA computes. Both are float32;
they differ in the order in which they add up.

Behind `SMALL` there is nothing to win, and numpy's library begins to use threads of its own, which
the number of torch's threads does not bound. Figures: docs/log.md.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SMALL = 2**15  # multiplications of one product: queries * keys * numbers of each
MANY = 16  # products; below it the calls cost more than they save


def attend_rows(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float
) -> Tensor:
    """
    Attend with one token of each sequence.

    Args:
        query: (B, H, D).
        keys: (B, H_kv, L, D).
        values: (B, H_kv, L, D).
        mask: (B, 1, 1, L), what is added to the scores; None to read every cell.
        scaling: Factor of the scores.

    Returns:
        (B, H, D).
    """
    count, heads_kv, _, size = keys.shape
    # The heads that share keys become the queries of one head, so nothing is repeated.
    own = query.reshape(count, heads_kv, -1, size)
    if is_small(own, keys):
        return _by_numpy(own, keys, values, mask, scaling).flatten(1, 2)
    attended = functional.scaled_dot_product_attention(
        own, keys, values, attn_mask=mask, scale=scaling
    )
    return attended.flatten(1, 2)


def is_small(own: Tensor, keys: Tensor) -> bool:
    """Tell whether these are many small products, (B, H_kv, G, D) with (B, H_kv, L, D)."""
    count, heads_kv, sharing, size = own.shape
    return (
        own.dtype == torch.float32
        and own.device.type == "cpu"
        and count * heads_kv >= MANY
        and sharing > 1  # one query is a product with a vector, which torch does as well
        and sharing * keys.shape[2] * size <= SMALL
    )


def _by_numpy(
    own: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scaling: float
) -> Tensor:
    """Attend with two products and a softmax: (B, H_kv, G, D) -> the same."""
    scores = torch.from_numpy(np.matmul((own * scaling).numpy(), keys.mT.numpy()))  # (.., G, L)
    if mask is not None:
        scores += mask
    weights = scores.softmax(dim=-1)
    return torch.from_numpy(np.matmul(weights.numpy(), values.numpy()))
