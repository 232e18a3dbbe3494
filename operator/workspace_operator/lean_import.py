"""
Import the Kubernetes client without its synchronous half.

Importing `kubernetes.aio` runs `kubernetes/__init__.py` first, and that imports the synchronous
client with urllib3, requests, oauthlib and a websocket library, none of which this process uses;
they would stay in memory for as long as it lives (docs/log.md has the figure). So both packages
are entered without running their `__init__`: their modules are found as ever, and each is imported
by whoever names it. kopf asks for classes of the synchronous client, to know its objects when a
handler uses them; ours never do, and kopf does without where that client is not installed.

Importing this module is enough, and it must come before whatever imports `kubernetes` or kopf, so
`__main__` does it. Without it all works the same, with more memory.
"""

import sys
from importlib.machinery import PathFinder
from types import ModuleType

PACKAGES = ("kubernetes", "kubernetes.aio")
SYNCHRONOUS_CLIENT = "kubernetes.client"


def spare_the_synchronous_client() -> None:
    """Enter the Kubernetes client's packages by the side door; once, and before they are used."""
    if PACKAGES[0] in sys.modules:
        return
    path = None
    for name in PACKAGES:
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.submodule_search_locations is None:
            return  # not installed as a package: whoever imports it says so better
        package = ModuleType(name)
        package.__spec__ = spec
        package.__path__ = path = list(spec.submodule_search_locations)
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
    # Source: docs.python.org/3/reference/import.html, "The module cache": None means not found.
    sys.modules[SYNCHRONOUS_CLIENT] = None  # type: ignore[assignment]  # typed as if never None


spare_the_synchronous_client()
