"""
Serve one model over HTTP in OpenAI's shape: text at the edge, tokens inside.

Start reading at `app.py` (the HTTP side) or `engine.py` (the token side).
"""

from importlib.metadata import version

__version__ = version("atelier")
