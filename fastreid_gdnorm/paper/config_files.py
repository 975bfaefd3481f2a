"""Writes the configs of all protocols: ``make configs``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..console import say
from ..data.readers import READERS
from ..disk import write_text
from ..runs.run_config import shipped
from .directions import Direction
from .variants import CONFIGS, PROTOCOLS, Variant, config_folder

NAMES = {reader.letters: reader.__name__ for reader in READERS}
SECTIONS = ("MODEL", "INPUT", "DATASETS", "DATALOADER")  # in this order
FEW_IMAGES = {"C2": "CUHK02 has 4", "CS": "CUHK-SYSU has 3"}  # of an identity


class MethodConfig(NamedTuple):
    """What a method adds to the data of a direction."""

    comment: str
    base: str
    settings: Mapping[str, object] = {}


METHOD_CONFIGS = {
    "gdnorm": MethodConfig("GDNorm", "Base-GDNorm"),
    "recommended": MethodConfig("The recommended way to train", "GDNorm-recommended"),
    "branches": MethodConfig('Branches only, the paper\'s ablation "E"', "Base-GDNorm", {"MODEL.GDNORM.NUM_PATHS": 0}),
    "balanced": MethodConfig(
        "The baseline that differs from branches.yml in the branches alone",
        "Base-GDNorm",
        {"MODEL.META_ARCHITECTURE": "Baseline", "MODEL.BACKBONE.NAME": "build_resnet_backbone"},
    ),
    "baseline": MethodConfig("The paper's Baseline", "Base-baseline"),
}


def config_texts() -> Iterator[tuple[str, str]]:
    """The (path in the repository, text) of every config of every protocol."""
    for protocol, variants in PROTOCOLS.items():
        for name, variant in variants.items():
            for direction in map(Direction.parse, variant.directions):
                folder = config_folder(protocol, name, direction)
                for method in variant.methods:
                    output = folder.replace(CONFIGS, "logs") + f"/{method}"
                    yield f"{folder}/{method}.yml", _text(folder, variant, direction, METHOD_CONFIGS[method], output)


def _text(folder: str, variant: Variant, direction: Direction, method: MethodConfig, output: str) -> str:
    up = "../" * len(PurePosixPath(folder).parts)
    few = [FEW_IMAGES[source] for source in direction.sources if source in FEW_IMAGES]
    comments = {"DATASETS.COMBINEALL": "train, query and gallery images of the sources"}
    if few:
        comments["DATALOADER.NUM_INSTANCE"] = f"the paper has 16 images of an identity, but {' and '.join(few)}"
    settings = {
        **method.settings,
        "DATASETS.NAMES": tuple(NAMES[source] for source in direction.sources),
        "DATASETS.TESTS": tuple(NAMES[target] for target in direction.targets),
        **({"DATALOADER.NUM_INSTANCE": 4} if few else {}),
        **variant.settings,
    }
    settings = dict(sorted(settings.items(), key=lambda item: SECTIONS.index(item[0].split(".")[0])))
    header = [
        f"# {variant.title}: {direction}",
        f"# {method.comment}",
        "# Written by make configs: change fastreid_gdnorm/paper/variants.py, not this file",
        f"_BASE_: {up}configs/{method.base}.yml",
    ]
    return "\n".join([*header, *_yaml(_nested(settings), comments), "", f"OUTPUT_DIR: {output}", ""])


def _nested(settings: Mapping[str, object]) -> dict[str, Any]:
    """{"A.B": value} as {"A": {"B": value}}."""
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _yaml(tree: Mapping[str, object], comments: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from ([] if prefix else [""])  # a blank line before each section
            yield f"{indent}{key}:"
            yield from _yaml(value, comments, f"{prefix}{key}.")
        else:
            line = f"{indent}{key}: {_plain(value)}"
            comment = comments.get(prefix + key)
            yield f"{line:<33} # {comment}" if comment else line


def _plain(value: object) -> str:
    """A value as fast-reid's configs write it: tuples in quotes, ("A",)."""
    if isinstance(value, tuple):
        return "(" + ", ".join(f'"{item}"' for item in value) + (",)" if len(value) == 1 else ")")
    return str(value)


def write_configs(root: Path) -> None:
    """Write every config into the repository at ``root``; files that are right stay untouched."""
    number = changed = 0
    for path, text in config_texts():
        file = root / path
        number += 1
        if not file.is_file() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, text)
            changed += 1
    say(f"{number} configs in {root / CONFIGS}, {changed} of them written")


if __name__ == "__main__":
    write_configs(shipped(""))
