"""An ONNX file, run by onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from ..site_cameras import SiteCameras
from .cpus import usable_cpus
from .description import PROPERTY, Description


class OnnxNetwork:
    """A :class:`Network` of one ONNX file; the file's metadata describes its input."""

    cameras = SiteCameras(())
    threads = 1
    pool: ThreadPoolExecutor | None = None

    def __init__(self, file: Path, device: str = "", half: bool = False) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f"{file} needs onnxruntime: pip install onnxruntime") from error
        if half:
            raise UserError(f"--half is for models in torch: {file} keeps the precision it was exported with")
        cuda = "CUDAExecutionProvider"
        has_cuda = cuda in onnxruntime.get_available_providers()
        if device.startswith("cuda") and not has_cuda:
            raise UserError(f"--device {device}: this onnxruntime has no CUDA; pip install onnxruntime-gpu")
        options = {"device_id": int(device.partition(":")[2] or 0)}
        providers = [(cuda, options)] if has_cuda and device != "cpu" else []
        self.engine = f"onnxruntime on {'cuda' if providers else 'cpu'}"
        settings = onnxruntime.SessionOptions()
        threads = os.environ.get("OMP_NUM_THREADS", "")  # as torch understands it
        settings.intra_op_num_threads = int(threads) if threads.isdecimal() else usable_cpus()
        # threads would spin while they wait for one whose core another process has
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), settings, providers=[*providers, "CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no common base
            reason = " ".join(str(error).split())
            raise UserError(f"{file} is damaged or not an ONNX file ({reason}): run fastreid export again") from error
        properties = self._session.get_modelmeta().custom_metadata_map
        try:
            self.description = Description.from_property(properties[PROPERTY])
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(
                f"{file} does not describe its input and features: write it with fastreid export, or add the "
                "description as docs/your-own-data.md shows"
            ) from error

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Resize a picture to (H, W, 3) as fast-reid's evaluation does."""
        height, width = self.description.input.size
        return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))

    def __call__(self, batch: Sequence[NDArray[np.uint8]], cameras: Sequence[str] = ()) -> NDArray[np.float32]:
        """Features (B, D); the cameras are ignored."""
        takes, name = self.description.input, self._session.get_inputs()[0].name
        images = takes.feed(np.stack(batch))
        size = takes.batch or len(images)
        parts = (images[start : start + size] for start in range(0, len(images), size))
        return np.concatenate([self._session.run(None, {name: part})[0] for part in parts])
