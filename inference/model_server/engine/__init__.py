"""
Decide which tokens the next step computes: requests, queue, blocks of the cache, the loop.

No tensors: a runner is what `batch.Runner` says.
"""
