"""
Write the values that install a release: every image by its digest.

Pure: what the registry answered becomes text. The chart that is published carries the same file.
"""

from collections.abc import Mapping

import yaml

from release.contents import OPERATOR, TUNING

HEADER = """\
# What this release is installed with: two pods, and every image by its digest, so that what was
# signed is what runs. Written by the release.
"""


def release_values(registry: str, digests: Mapping[str, str]) -> str:
    """
    Return the text of values-release.yaml.

    Args:
        registry: Where the images were pushed to.
        digests: Digest in the registry of each image, by the image's name.
    """
    trainers = {name.removesuffix(TUNING) for name in digests if name.endswith(TUNING)}
    servers = digests.keys() - {OPERATOR} - {f"{preset}{TUNING}" for preset in trainers}
    values: dict[str, object] = {
        "replicaCount": 2,
        "image": {"repository": f"{registry}/{OPERATOR}", "digest": digests[OPERATOR]},
        "presetImage": f"{registry}/{{preset}}:{{version}}",
        "presetDigests": {preset: digests[preset] for preset in sorted(servers)},
    }
    if trainers:
        values["tuningImage"] = f"{registry}/{{preset}}{TUNING}:{{version}}"
        values["tuningDigests"] = {
            preset: digests[f"{preset}{TUNING}"] for preset in sorted(trainers)
        }
    return HEADER + yaml.safe_dump(values, sort_keys=False)
