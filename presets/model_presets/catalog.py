"""
Find the preset that a name means.

The catalog is a folder of YAML files, one per preset, read once at start. A user writes a preset's
name, an alias or the hub's id, in any letter case; two presets may never answer to the same name,
since the second would then be deployed in silence.

Imports the standard library and PyYAML only: both images carry this file.
"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from model_presets.preset import InvalidPreset, Preset, parse_preset

BUILT_IN = Path(__file__).parent
TEMPLATE_SUFFIX = ".jinja"


class UnknownPreset(LookupError):
    """Say that no preset answers to a name, and which names come near it."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        """Keep the name and its neighbours for the caller's own message."""
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"no preset is named {name!r}{hint}")
        self.name = name
        self.nearest = nearest


class Catalog:
    """Hold presets by every name they answer to."""

    def __init__(self) -> None:
        """Start without presets; `add` brings them in."""
        self._presets: dict[str, Preset] = {}
        self._by_name: dict[str, Preset] = {}

    def add(self, preset: Preset, origin: Path) -> None:
        """
        Take in one preset.

        Raises:
            InvalidPreset: when another preset already answers to one of its names.
        """
        for name in preset.names:
            other = self._by_name.get(name.lower())
            if other is not None:
                key = next(k for k in ("name", "aliases", "repo") if name in _values(preset, k))
                raise InvalidPreset(origin, key, name, f"already means preset {other.name}; rename")
        self._presets[preset.name] = preset
        self._by_name.update({name.lower(): preset for name in preset.names})

    def get(self, name: str) -> Preset:
        """
        Return the preset that a name, an alias or a hub id means, in any letter case.

        Raises:
            UnknownPreset: with up to three names that come near.
        """
        wanted = name.strip().lower()
        if wanted in self._by_name:
            return self._by_name[wanted]
        near = difflib.get_close_matches(wanted, self._by_name, n=3, cutoff=0.6)
        raise UnknownPreset(name, tuple(dict.fromkeys(self._by_name[key].name for key in near)))

    def names(self) -> tuple[str, ...]:
        """Return the presets' own names, sorted."""
        return tuple(sorted(self._presets))

    def __iter__(self) -> Iterator[Preset]:
        """Go through the presets in the order of their names."""
        return (self._presets[name] for name in self.names())

    def __len__(self) -> int:
        """Count the presets."""
        return len(self._presets)


def load_catalog(extra: Path | None = None) -> Catalog:
    """
    Read the built-in presets, and those of a second folder where one is given.

    Args:
        extra: Folder with more `*.yaml` files, in the form of the built-in ones.

    Raises:
        InvalidPreset: names file, key, value and remedy of the first fault.
        NotADirectoryError: when `extra` is not a folder.
    """
    catalog = Catalog()
    if extra is not None and not extra.is_dir():
        raise NotADirectoryError(f"folder of extra presets: {extra}: not a folder")
    for folder in (BUILT_IN, extra):
        for path in sorted(folder.glob("*.yaml")) if folder is not None else ():
            catalog.add(read_preset(path), path)
    return catalog


def read_preset(path: Path) -> Preset:
    """
    Read one preset file.

    Raises:
        InvalidPreset: for text that is no YAML, a repeated key, or anything `parse_preset` refuses.
    """
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise InvalidPreset(path, "(file)", error.reason, "save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise InvalidPreset(path, "(file)", str(error), "mend the YAML") from error
    return parse_preset(_with_chat_template(raw, path), path)


def _with_chat_template(raw: object, path: Path) -> object:
    """Put the text in place of a template's file name: several models write the same format."""
    name = raw.get("chat_template") if isinstance(raw, dict) else None
    if not (isinstance(raw, dict) and isinstance(name, str) and name.endswith(TEMPLATE_SUFFIX)):
        return raw
    for folder in (path.parent, BUILT_IN):
        if "/" not in name and (folder / name).is_file():
            return {**raw, "chat_template": (folder / name).read_text(encoding="utf-8").rstrip()}
    built_in = ", ".join(sorted(each.name for each in BUILT_IN.glob(f"*{TEMPLATE_SUFFIX}")))
    remedy = f"no such file beside the preset; built in are: {built_in}"
    raise InvalidPreset(path, "chat_template", name, remedy)


def _values(preset: Preset, key: str) -> tuple[str, ...]:
    value: str | tuple[str, ...] = getattr(preset, key)
    return (value,) if isinstance(value, str) else value


class _StrictLoader(yaml.SafeLoader):
    """Refuse a key that stands twice in one mapping, where YAML would keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base's signature
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands more than once", node.start_mark
                )
        return dict(super().construct_mapping(node, deep=deep))
