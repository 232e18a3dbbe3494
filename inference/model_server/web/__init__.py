"""
Speak HTTP: the socket, the routes, what a client may send and how an answer streams back.

Knows requests and answers (`api`), never tensors.
"""
