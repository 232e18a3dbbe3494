"""How a Workspace's selector is asked of the API server."""

from workspace_operator.api import parse
from workspace_operator.observe import label_selector


def test_every_operator_of_a_selector_is_spelt_as_the_api_takes_it() -> None:
    workspace = parse(
        {
            "apiVersion": "kaito.sh/v1beta1",
            "metadata": {"name": "mistral", "namespace": "team"},
            "resource": {
                "labelSelector": {
                    "matchLabels": {"zone": "a", "apps": "mistral"},
                    "matchExpressions": [
                        {"key": "gpu", "operator": "In", "values": ["a100", "h100"]},
                        {"key": "tier", "operator": "NotIn", "values": ["spot"]},
                        {"key": "ssd", "operator": "Exists"},
                        {"key": "old", "operator": "DoesNotExist"},
                    ],
                }
            },
            "inference": {"preset": {"name": "mistral-7b-instruct"}},
        }
    )
    assert label_selector(workspace) == (
        "apps=mistral,zone=a,gpu in (a100,h100),tier notin (spot),ssd,!old"
    )
