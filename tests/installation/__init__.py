"""
Install the chart, or what a test needs of it, into a throw-away Kubernetes.

`install_chart` gives a test the definition, the roles and a kubeconfig of the operator's own
ServiceAccount, so that a right which the chart forgot shows as a 403 and not in production.
"""

from tests.installation.chart import (
    CHART,
    NAMESPACE,
    RELEASE,
    RELEASE_VALUES,
    ChartError,
    install_chart,
    render_chart,
    value_arguments,
)

__all__ = [
    "CHART",
    "NAMESPACE",
    "RELEASE",
    "RELEASE_VALUES",
    "ChartError",
    "install_chart",
    "render_chart",
    "value_arguments",
]
