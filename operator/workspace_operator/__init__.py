"""
Turn a Workspace manifest into a GPU node and a model endpoint, and tell the truth about the wait.

Start reading at `reconcile.py`; docs/architecture.md maps concepts to files.
"""
