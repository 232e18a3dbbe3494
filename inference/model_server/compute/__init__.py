"""
Come from a step of tokens to the next ones: weights, cache, attention, kernels, sampling.

The only half that imports torch.
"""
