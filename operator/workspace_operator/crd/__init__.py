"""
Generate the CustomResourceDefinition ``workspaces.kaito.sh`` from the API models.

``python -m workspace_operator.crd`` prints it; ``make generate`` puts it into the chart, and a test
holds that file against a fresh one. ``schema`` turns pydantic's JSON schema into the structural
schema of Kubernetes, ``rules`` holds the static rules as CEL, ``definition`` joins both.
"""

from workspace_operator.crd.definition import definition, render

__all__ = ["definition", "render"]
