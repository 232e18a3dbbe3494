"""Print the CustomResourceDefinition, or the admission policies when asked for `policies`."""

import sys

from workspace_operator.crd import policies, render

if __name__ == "__main__":
    sys.stdout.write(policies.render() if sys.argv[1:] == ["policies"] else render())
