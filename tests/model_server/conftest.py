"""The fixtures that several tests of the server share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Make a tiny Mistral with its lock file, untrained: it babbles, which is as good for comparing.

    Torch is imported here and not above: most tests of the server need none.
    """
    from model_presets.catalog import load_catalog  # noqa: PLC0415 - as the docstring says
    from model_presets.lock import make_lock, write_lock  # noqa: PLC0415 - the same
    from model_presets.tiny import make_tiny  # noqa: PLC0415 - the same

    directory = tmp_path_factory.mktemp("tiny-weights")
    make_tiny(directory, steps=0)
    write_lock(directory, make_lock(directory, load_catalog().get("tiny-mistral")))
    return directory
