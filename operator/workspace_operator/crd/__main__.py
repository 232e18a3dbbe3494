"""Print the CustomResourceDefinition."""

import sys

from workspace_operator.crd import render

if __name__ == "__main__":
    sys.stdout.write(render())
