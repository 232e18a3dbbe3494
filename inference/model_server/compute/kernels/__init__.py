"""
Compute the small operations of a decoder's step on a GPU, each as one Triton kernel.

A step of one token is a stream of weights with 51 tiny operations per layer in between; launched
one by one they take longer than the weights. Here they are six: norm with residual, rotation with
the store into the cache, attention of decoding tokens (two kernels), attention of a prompt's chunk,
gate times up.

Every kernel has a twin in plain torch (`twins`), which is what it means. `cases` puts both side by
side on a device; a server does so at its start and serves without the kernels where they differ.

Only `twins` and `cases` may be imported without a GPU at hand: the others import Triton.
"""
