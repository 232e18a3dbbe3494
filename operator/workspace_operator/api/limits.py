"""
Patterns and lists that the rules share with the CustomResourceDefinition.

Invariant: every pattern carries its own anchors, and means the same to Python and to RE2, which
evaluates it in the API server.
Must not import anything.
"""

WORKSPACE_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_KEY = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$"
)
LABEL_KEY_LIMIT = 317
LABEL_VALUE = r"^([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)?$"
DECIMAL = r"^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{1,2})?$"
IMAGE = (
    r"^([a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?(:[0-9]+)?/)?"
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[a-zA-Z0-9_][a-zA-Z0-9_.-]*)?(@sha256:[0-9a-f]{64})?$"
)
MIG_PROFILES = (
    "1g.5gb", "1g.6gb", "1g.10gb", "1g.12gb", "1g.18gb", "1g.20gb", "1g.23gb", "1g.24gb",
    "1g.35gb", "1g.45gb", "2g.10gb", "2g.12gb", "2g.20gb", "2g.24gb", "2g.35gb", "2g.45gb",
    "3g.20gb", "3g.40gb", "3g.48gb", "3g.71gb", "3g.90gb", "4g.20gb", "4g.24gb", "4g.40gb",
    "4g.48gb", "4g.71gb", "4g.90gb", "7g.40gb", "7g.80gb", "7g.96gb", "7g.141gb", "7g.180gb",
)  # fmt: skip
"""
Slices of A30, A100, H100, H200, B200. Source: NVIDIA Multi-Instance GPU User Guide.
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

URL = (
    r"^[hH][tT][tT][pP][sS]?://([^/?#@]*@)?"
    r"(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._~%-]+)(:[0-9]*)?([/?#].*)?$"
)
_HOST_START = r"(?i)^[a-z]+://([^/?#@]*@)?"
_HOST_END = r"[.]?(:|/|[?]|#|$)"
LOCAL_NAME = (
    _HOST_START + r"(([^/?#@]*[.])?localhost|metadata[.]google([.]internal)?"
    r"|instance-data[.]ec2[.]internal)" + _HOST_END
)
"""
A URL of this machine or of a cloud's metadata. Source: kaito-project/kaito,
api/v1beta1/workspace_validation.go at v0.12.0.
"""

LOCAL_ADDRESS = (
    _HOST_START + r"((0|10|127)([.][0-9]+){3}|(169[.]254|192[.]168)([.][0-9]+){2}"
    r"|172[.](1[6-9]|2[0-9]|3[01])([.][0-9]+){2}|224[.]0[.]0[.][0-9]+"
    r"|\[(0*:|f[cd]|fe[89ab]|ff[0-9a-f]2:)[^\]]*\])" + _HOST_END
)
"""
A URL of an unspecified, loopback, private or link-local address (multicast too), or of an IPv4
address mapped into IPv6. Source: RFC 1918, RFC 4193, RFC 4291, RFC 6890.
"""

TUNING_METHODS = ("lora", "qlora")
