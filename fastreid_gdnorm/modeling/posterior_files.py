"""Posterior paths on disk: a file for one path, or a folder with the paths of a site and of its cameras."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..disk import digest, replacing
from ..errors import UserError
from ..layers import PosteriorPath
from ..layers.posterior_path import LayerPosterior
from ..site_files import files_of
from .chosen_paths import CameraPaths

VERSION = 2


class PosteriorFile(NamedTuple):
    """The contents of a file.

    Args:
        path: the posterior path.
        checkpoint: the SHA-256 of the checkpoint that the path belongs to.
        images: (n,) uint64, for each image that the path was estimated from the first 64 bits of its file's SHA-256.
    """

    path: PosteriorPath
    checkpoint: str
    images: NDArray[np.uint64]


def image_digests(files: list[str]) -> NDArray[np.uint64]:
    """The first 64 bits of every file's SHA-256, (n,) uint64."""
    return np.array([int(digest(file)[:16], 16) for file in files], np.uint64)


def save_posterior(file: Path, posterior: PosteriorFile) -> None:
    """Write a posterior path as NumPy's .npz without pickles. The file is never left half written."""
    path = posterior.path
    arrays = {
        f"{field}/{name}": getattr(layer, field).cpu().numpy()
        for name, layer in path.layers.items()
        for field in LayerPosterior._fields
    }
    head = json.dumps({"version": VERSION, "checkpoint": posterior.checkpoint, "n": path.images})
    with replacing(file) as part, open(part, "wb") as stream:
        np.savez(stream, head=np.array(head), images=posterior.images, **arrays)


def load_posterior(file: str | Path) -> PosteriorFile:
    """Read what :func:`save_posterior` has written.

    Raises:
        UserError: the file does not exist, is damaged, or holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            head = json.loads(str(stored["head"]))
            if head["version"] != VERSION:
                raise UserError(
                    f"posterior {file} has format version {head['version']}, this package reads {VERSION}: run "
                    "fastreid adapt again"
                )
            names = [key.partition("/")[2] for key in stored.files if key.startswith("mean/")]
            layers = {name: _layer(stored, name) for name in names}
            return PosteriorFile(PosteriorPath(layers, int(head["n"])), head["checkpoint"], stored["images"])
    except FileNotFoundError:
        raise _not_there(file) from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"posterior {file} is damaged or not a posterior path ({error}): run fastreid adapt again"
        ) from error


def _layer(stored: Mapping[str, NDArray[np.float64]], name: str) -> LayerPosterior:
    return LayerPosterior(*(torch.from_numpy(stored[f"{field}/{name}"]) for field in LayerPosterior._fields))


def load_site(place: str | Path) -> PosteriorPath | CameraPaths:
    """The path in a file or a folder. A folder that has paths of cameras lets each image follow its camera's.

    Raises:
        UserError: as for :func:`files_of` and :func:`load_posterior`.
    """
    paths = {camera: load_posterior(file).path for camera, file in files_of(place).items()}
    site = paths.pop("")
    return CameraPaths(paths, site) if paths else site


def site_digest(place: str | Path) -> str:
    """A digest of everything that features along the paths of a file or folder depend on: contents and cameras.

    Raises:
        UserError: the file or folder does not exist, or one of its files is missing.
    """
    files = files_of(place)
    missing = next((file for file in files.values() if not file.is_file()), None)
    if missing:
        raise _not_there(missing)
    return "+".join(f"{camera} {digest(file)}".strip() for camera, file in sorted(files.items()))


def _not_there(file: str | Path) -> UserError:
    fix = "create it with fastreid adapt --by norms, or give its new location with --path or --site"
    return UserError(f"posterior {file} does not exist: {fix}")
