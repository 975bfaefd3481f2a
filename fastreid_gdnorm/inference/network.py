"""Open a model for inference: a run in torch, an ONNX file in onnxruntime, an export in the faster of both."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from ..runs import files
from ..site_cameras import SiteCameras
from .description import CHECKPOINT_FILE, MANIFEST, ONNX_FILE, Description, check_written, read_manifest


class Network(Protocol):
    """A network that turns pictures into features.

    Attributes:
        description: the model, its input and its features.
        cameras: the cameras that have a path of their own; empty if the path does not depend on the camera.
        engine: what runs it, and where, such as "torch on cpu".
        threads: number of batches to compute at once.
        pool: the threads for them, each of which computes a batch on one core, or None for one batch at a time.
    """

    description: Description
    cameras: SiteCameras
    engine: str
    threads: int
    pool: ThreadPoolExecutor | None

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Resize an RGB picture of any size to (H, W, 3) for a batch; thread-safe."""

    def __call__(self, batch: Sequence[NDArray[np.uint8]], cameras: Sequence[str]) -> NDArray[np.float32]:
        """Features (B, D), not normalised, of B prepared pictures and their cameras, "" if unknown."""


def open_network(model: str | Path, device: str = "", half: bool = False, path: str = "") -> Network:
    """Open the network of a model.

    Args:
        model: a run's folder, an export's folder, or an exported ONNX file. An export's folder opens its ONNX file, the
            faster one on a CPU, if it has one and onnxruntime is installed. For CUDA or ``half``, and otherwise, it
            opens its checkpoint in torch.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        half: use half precision, on CUDA only.
        path: a TEST_PATH for a run; "" keeps the one in its config.

    Raises:
        UserError: ``model`` is none of these, or a package or file that it needs is missing.
    """
    if not re.fullmatch(r"|cpu|cuda(:\d+)?", device):
        raise UserError(f"--device must be cpu, cuda or cuda:N; got {device!r}")
    place = Path(model)
    has_torch = importlib.util.find_spec("torch") is not None
    if place.is_file() and place.suffix == ".onnx":
        _check_no_path(model, path)
        from .onnx_network import OnnxNetwork

        check_written(place)
        return OnnxNetwork(place, device, half)
    if not place.is_dir():
        raise UserError(f"--model {model} does not exist: pass a run's folder, an export's folder or an ONNX file")
    is_export = (place / MANIFEST).is_file()
    if is_export:
        _check_no_path(model, path)
    if is_export and (not has_torch or _is_faster_in_onnx(place, device, half)):
        return open_network(_onnx_of(place), device, half)
    if not (place / files.CONFIG).is_file():
        raise UserError(
            f"--model {model} is neither a run nor an export: it has no {files.CONFIG}; pass an output folder of "
            "fastreid train or export"
        )
    if not has_torch:
        raise UserError(
            f"--model {model} is a run, which needs torch and fastreid: install them, or export it with --onnx"
        )
    from .torch_network import TorchNetwork

    if is_export:
        for name in (files.CONFIG, CHECKPOINT_FILE):
            check_written(place / name)
        return TorchNetwork.of_export(place, device, half)
    return TorchNetwork.of_run(place, device, half, path)


def _check_no_path(model: str | Path, path: str) -> None:
    if path:
        raise UserError(f"{model} is an export, which has only its own path: for {path}, pass the run's folder")


def _is_faster_in_onnx(export: Path, device: str, half: bool) -> bool:
    """Whether an export has an ONNX file that can run here, and no GPU will be used."""
    if half or not _has_onnx(export) or importlib.util.find_spec("onnxruntime") is None:
        return False
    return device == "cpu" or not device and not _has_gpu()


def _has_onnx(export: Path) -> bool:
    return ONNX_FILE in read_manifest(export)["files"] and (export / ONNX_FILE).is_file()


def _has_gpu() -> bool:
    """Whether torch has a GPU. It is imported, which takes seconds, only if there is a driver."""
    if not os.path.exists("/dev/kfd"):  # AMD's
        try:
            ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        except OSError:
            return False
    import torch

    return torch.cuda.is_available()


def _onnx_of(export: Path) -> Path:
    if not _has_onnx(export):
        raise UserError(f"{export} has no {ONNX_FILE}: export with --onnx, or install torch and fastreid")
    return export / ONNX_FILE
