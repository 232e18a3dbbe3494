"""
Push images and the chart, and return the digests under which the registry keeps them.

The digest comes from the program that pushed, not from a question to the registry afterwards:
between the two somebody else could have moved the tag.
"""

import re
import shutil
import tempfile
from pathlib import Path

from release.contents import ImageArchive, ReleaseError
from release.programs import Programs, output_of

RELEASE_VALUES = "values-release.yaml"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def push_image(programs: Programs, image: ImageArchive, reference: str) -> str:
    """
    Push one image under a name and tag; return its digest in the registry.

    Raises:
        ReleaseError: skopeo's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "digest"
        arguments: list[object] = ["copy", "--format", "oci", "--digestfile", told]
        if programs.plain_http:
            arguments.append("--dest-tls-verify=false")
        output_of(
            programs.skopeo,
            *arguments,
            f"docker-archive:{image.path}",
            f"docker://{reference}",
            environment=programs.environment,
        )
        return told.read_text().strip()


def push_chart(programs: Programs, chart: Path, registry: str, values: str) -> str:
    """
    Pack the chart with the values of this release and push it; return its digest.

    Args:
        programs: What pushes.
        chart: Folder of the chart, which stays as it is.
        registry: Where it goes, below `charts/`.
        values: Text of its values-release.yaml.

    Raises:
        ReleaseError: helm's words.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(chart, Path(folder) / chart.name))
        (copy / RELEASE_VALUES).write_text(values)
        output_of(programs.helm, "package", copy, "-d", folder, environment=programs.environment)
        (packed,) = Path(folder).glob("*.tgz")
        arguments: list[object] = ["push", packed, f"oci://{registry}/charts"]
        if programs.plain_http:
            arguments.append("--plain-http")
        told = output_of(programs.helm, *arguments, environment=programs.environment)
    found = DIGEST.search(told)
    if found is None:
        raise ReleaseError(f"helm push did not say a digest: {told.strip()}")
    return found[0]
