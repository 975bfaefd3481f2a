"""Patch of the backbones' pretrained weights: loading runs no code, hashes are checked, downloads are complete."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from ..errors import MissingFile, UserError, explained
from .tools import PUBLISHED, ROOTS, Overlay, load_weights, source_has

OWN_FILE = "name a file with MODEL.BACKBONE.PRETRAIN_PATH"

# the ResNet files that are tar archives, and torchvision's newer files of the same weights
SAVED_AGAIN = {
    "resnet18-5c106cde": "resnet18-f37072fd",
    "resnet34-333f7ec4": "resnet34-b627a593",
    "resnet50-19c8e357": "resnet50-0676ba61",
    "resnet101-5d3b4d8f": "resnet101-63fe2227",
}


def patch_pretrained() -> None:
    """Loading pretrained weights runs any code in them and checks no hash; a broken download stays in the cache."""
    from fastreid.modeling.backbones import BACKBONE_REGISTRY, resnet

    for key, url in resnet.model_urls.items():
        stem = Path(url).stem
        resnet.model_urls[key] = url.replace(stem, SAVED_AGAIN.get(stem, stem))
    for name, build in BACKBONE_REGISTRY._obj_map.items():
        module = sys.modules[build.__module__]
        if source_has(module, "torch.load(") and not source_has(module, "weights_only"):
            BACKBONE_REGISTRY._obj_map[name] = _patched_backbone(name, build, module)


def _patched_backbone(name: str, stock: Callable[..., Any], module: Any) -> Callable[..., Any]:
    """The builder ``stock`` of the backbone ``name``; its ``module`` gets functions that load weights safely."""
    loaded: list[str] = []

    def load(path: str, **_: Any) -> Any:
        path = _find(path)
        _check(path, getattr(module, "model_urls", {}).values())
        weights = load_weights(path, f"pretrained file {path}", f"{OWN_FILE}, or delete it if it was downloaded")
        loaded.append(path)
        return weights

    def load_from_url(url: str, **_: Any) -> Any:
        path = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(url))
        if not os.path.exists(path):
            _download(url, path)
        return load(path)

    @functools.wraps(stock)
    def build(cfg: Any) -> Any:
        loaded.clear()
        try:
            return stock(cfg)
        except UserError:
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            if not loaded:
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise explained(error, f"pretrained file {loaded[0]} does not fit {name} ({reason}): {OWN_FILE}") from error

    module.torch = Overlay(torch, load=load, hub=Overlay(torch.hub, load_state_dict_from_url=load_from_url))
    if hasattr(module, "load_state_dict_from_url"):
        module.load_state_dict_from_url = load_from_url
    if hasattr(module, "init_pretrained_weights"):
        module.init_pretrained_weights = _complete_downloads()(module.init_pretrained_weights)
    return build


def _find(path: str) -> str:
    """``path``, or the file of that name in one of ROOTS; MissingFile if neither exists."""
    places = (Path(path), *(Path(root) / path for root in ROOTS))
    place = next((str(place) for place in places if place.is_file()), None)
    if place is None:
        raise MissingFile(f"pretrained file {path!r} does not exist: {OWN_FILE}")
    return place


def _check(path: str, urls: Iterable[str]) -> None:
    """Raise UserError if a file has the name of a published one but other contents."""
    name = os.path.basename(path)
    expected = _hash_in(name)
    if expected and name in (*map(os.path.basename, urls), *PUBLISHED):
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        if not digest.startswith(expected):
            raise UserError(
                f"pretrained file {path} is damaged or not the published one (its SHA-256 begins with {digest[:8]}): "
                f"delete it to download it again, or {OWN_FILE}"
            )


def _hash_in(name: str) -> str | None:
    """The first digits of the SHA-256 in a file's name, such as resnet50-0676ba61.pth, or None."""
    found = re.search(r"-([0-9a-f]{8,})\.\w+$", name)
    return found and found.group(1)


@contextlib.contextmanager
def _complete_downloads() -> Iterator[None]:
    """Inside the block, stock's ``init_pretrained_weights`` downloads with _download instead of gdown."""
    gdown: Any = importlib.import_module("gdown")
    stock = gdown.download
    gdown.download = functools.partial(_download, by_gdown=stock)
    try:
        yield
    finally:
        gdown.download = stock


def _download(url: str, path: str, by_gdown: Callable[..., Any] | None = None, **_: Any) -> None:
    """Download ``url`` to ``path``; keep the file only if it loads and has the hash in its name.

    Args:
        by_gdown: the function that downloads from Google Drive.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        part = os.path.join(folder, "part")
        try:
            if by_gdown and "drive.google.com" in url:
                by_gdown(url, part, quiet=False)
            else:
                torch.hub.download_url_to_file(url, part, _hash_in(url))
        except Exception as error:  # urllib's, requests' or gdown's
            reason = " ".join(str(error).split())
            raise UserError(f"cannot download {url} ({reason}): try again, or {OWN_FILE}") from error
        load_weights(part, f"the download from {url}", f"try again, or {OWN_FILE}")
        os.replace(part, path)
