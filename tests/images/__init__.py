"""Container images for the demo and the tests on a real node (see docs/images.md)."""

from tests.images.building import Image, build_images
from tests.images.recipes import RECIPES

__all__ = ["RECIPES", "Image", "build_images"]
