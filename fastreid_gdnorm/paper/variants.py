"""What each protocol, and each variant of it, trains and tests on: the one table behind configs and commands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ..errors import UserError
from ..runs.methods import METHODS
from .directions import Direction

CONFIGS = "projects/GDNorm/configs"
FOLDERS = {"M": "market", "D": "duke", "C3": "cuhk03", "MT": "msmt17"}  # {letters: name in folders}
NOTHING: Mapping[str, object] = MappingProxyType({})

SIZE: Mapping[str, object] = {"INPUT.SIZE_TRAIN": [256, 128], "INPUT.SIZE_TEST": [256, 128]}
LIKE_META: Mapping[str, object] = {**SIZE, "DATASETS.CUHK03.BOXES": "labeled", "DATASETS.MSMT17.VERSION": "V2"}
ALL_IMAGES: Mapping[str, object] = {"DATASETS.COMBINEALL": True}

LEAVE_ONE_OUT = ("D+C3+MT->M", "M+C3+MT->D", "M+D+MT->C3", "M+D+C3->MT")
WITH_CUHK_SYSU = ("C3+MT+CS->M", "M+MT+CS->C3", "M+C3+CS->MT")
PAIRS = ("M->D+C3+MT", "D->M+C3+MT", "C3->M+D+MT", "MT->M+D+C3")  # one training for each source


class Variant(NamedTuple):
    """A protocol as one group of papers runs it."""

    title: str
    directions: tuple[str, ...]  # one training each
    settings: Mapping[str, object] = NOTHING  # {config key: value} of every training
    methods: tuple[str, ...] = tuple(METHODS)  # the first is run by default


# {protocol: {name of the variant, "" for the protocol itself: variant}}
PROTOCOLS = {
    "1": {
        "": Variant("Protocol-1", ("M+D+C2+C3+CS->V+P+G+I",), ALL_IMAGES),
        "without-duke": Variant(
            "Protocol-1 of later papers, without the withdrawn DukeMTMC-reID", ("M+C2+C3+CS->V+P+G+I",), ALL_IMAGES
        ),
        "256x128": Variant(
            "Protocol-1 as in META, ACL and CLIP-FGDI", ("M+C2+C3+CS->V+P+G+I",), {**LIKE_META, **ALL_IMAGES}
        ),
    },
    "2": {
        "": Variant("Protocol-2, on training splits", LEAVE_ONE_OUT),
        "all-images": Variant("Protocol-2, on all images of the sources", LEAVE_ONE_OUT, ALL_IMAGES),
        "cuhk-sysu": Variant(
            "Protocol-2 of later papers, with CUHK-SYSU instead of the withdrawn DukeMTMC-reID", WITH_CUHK_SYSU
        ),
        "256x128": Variant("Protocol-2 as in META, ACL and CLIP-FGDI", WITH_CUHK_SYSU, LIKE_META),
    },
    "3": {
        "": Variant("Protocol-3, on all images of the sources", WITH_CUHK_SYSU, ALL_IMAGES),
        "256x128": Variant("Protocol-3 as in META, ACL and CLIP-FGDI", WITH_CUHK_SYSU, {**LIKE_META, **ALL_IMAGES}),
    },
    "pairs": {  # one source has one branch, and nothing to average
        "": Variant("Single-source pairs", PAIRS, methods=("baseline",)),
        "256x128": Variant(
            "Single-source pairs at 256x128", PAIRS, {**SIZE, "DATALOADER.NUM_INSTANCE": 4}, methods=("baseline",)
        ),
    },
}


def find_variant(protocol: str, name: str = "") -> Variant:
    """A variant of a protocol, a key of PROTOCOLS; "" is the protocol itself.

    Raises:
        UserError: the protocol has no such variant.
    """
    variants = PROTOCOLS[protocol]
    if name not in variants:
        raise UserError(
            f"--variant: there is no {name!r} in protocol {protocol}; choose from {', '.join(filter(None, variants))}"
        )
    return variants[name]


def protocol_folder(protocol: str) -> str:
    """The name of a protocol's folder of configs, and of runs."""
    return f"protocol{protocol}" if protocol.isdigit() else protocol


def direction_folder(direction: Direction) -> str:
    """The folder of a direction's configs in its variant's folder; "" where the variant has only this direction."""
    if len(direction.sources) == 1:
        return f"from-{FOLDERS[direction.sources[0]]}"
    return f"to-{FOLDERS[direction.targets[0]]}" if len(direction.targets) == 1 else ""


def config_folder(protocol: str, name: str, direction: Direction) -> str:
    """The folder, in the repository, that holds a direction's configs."""
    parts = (CONFIGS, protocol_folder(protocol), name, direction_folder(direction))
    return "/".join(filter(None, parts))
