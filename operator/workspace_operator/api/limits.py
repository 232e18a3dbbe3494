"""
Patterns and lists that the rules share with the CustomResourceDefinition.

Invariant: every pattern means the same to Python and to RE2, which evaluates it in the API server.
Must not import anything.
"""

WORKSPACE_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DECIMAL = r"^([0-9]+[.]?[0-9]*|[.][0-9]+)$"
IMAGE = (
    r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]+)?/)?"
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?(@sha256:[0-9a-f]{64})?$"
)
MIG_PROFILE = r"^[0-9]+g[.][0-9]+gb$"
MIG_PROFILES = (
    "1g.5gb", "1g.6gb", "1g.10gb", "1g.12gb", "1g.18gb", "1g.20gb", "1g.23gb", "1g.24gb",
    "1g.35gb", "1g.45gb", "2g.10gb", "2g.12gb", "2g.20gb", "2g.24gb", "2g.35gb", "2g.45gb",
    "3g.20gb", "3g.40gb", "3g.48gb", "3g.71gb", "3g.90gb", "4g.20gb", "4g.24gb", "4g.40gb",
    "4g.48gb", "4g.71gb", "4g.90gb", "7g.40gb", "7g.80gb", "7g.96gb", "7g.141gb", "7g.180gb",
)  # fmt: skip
"""
Slices of A30, A100, H100, H200, B200. Source: NVIDIA Multi-Instance GPU User Guide, r580.
"""

NAME_LIMIT = 63
"""
A Service name and a label value hold no more.
"""

RESERVED_LABELS = frozenset(
    {
        "kaito.sh/workspace",
        "kaito.sh/workspacenamespace",
        "kaito.sh/ragengine",
        "kaito.sh/ragenginenamespace",
    }
)
RESERVED_LABEL_PREFIX = "karpenter.kaito.sh/"
TUNING_METHODS = ("lora", "qlora")
