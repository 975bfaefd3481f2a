"""A fast-reid model, GDNorm or not, in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from fastreid.config import CfgNode
from fastreid.data.transforms import build_transforms
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose

from ..errors import UserError
from ..layers import AffinePath, MeanPath, fold_gdnorm
from ..modeling import branched
from ..modeling.chosen_paths import CameraPaths
from ..runs import files
from ..runs.run_checkpoints import load_model, model_digest
from ..runs.run_config import load_config
from ..runs.run_folder import load_run_config
from ..site_cameras import SiteCameras
from .description import CHECKPOINT_FILE, Description, ModelInput, read_manifest


class TorchNetwork:
    """A :class:`Network` of a config and its checkpoint; pictures are prepared as for fast-reid's evaluation.

    A model is folded along its test path where that is one affine map for all images, and then runs in any number of
    threads at once; where it is not, they take turns.

    Args:
        cfg: a trained model's; MODEL.DEVICE is where it runs.
        digest: as :func:`model_digest` gives for what was trained.
        half: in half precision where that is stable, on CUDA only.
    """

    def __init__(self, cfg: CfgNode, digest: str, half: bool) -> None:
        self._device = torch.device(cfg.MODEL.DEVICE)
        if half and self._device.type != "cuda":
            raise UserError(f"--half is for CUDA; the model runs on {self._device}")
        self._half = half
        model = load_model(cfg).eval()
        paths = getattr(model, "test_paths", ())
        self.cameras = next((path.cameras for path in paths if isinstance(path, CameraPaths)), SiteCameras(()))
        self._model = _folded(model)
        self._resize = resizing(cfg)
        size = (int(cfg.INPUT.SIZE_TEST[0]), int(cfg.INPUT.SIZE_TEST[-1]))
        blank = self.prepare(Image.new("RGB", size[::-1]))
        self.description = Description(digest, cfg.TEST.METRIC, 0, ModelInput(size))
        self.description = self.description._replace(features=self([blank]).shape[1])

    @classmethod
    def of_run(cls, folder: Path, device: str, half: bool, path: str) -> TorchNetwork:
        """Of a folder of ``fastreid train``, along ``path`` if that is not empty."""
        cfg = load_run_config(folder, device, has_data_sets=False)
        if path:
            cfg = branched(cfg)
            cfg.MODEL.GDNORM.TEST_PATH = path
        return cls(cfg, model_digest(cfg), half)

    @classmethod
    def of_export(cls, folder: Path, device: str, half: bool) -> TorchNetwork:
        """Of a folder of ``fastreid export``."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        overrides = ["MODEL.DEVICE", device, "MODEL.WEIGHTS", str(folder / CHECKPOINT_FILE)]
        return cls(load_config(folder / files.CONFIG, overrides), read_manifest(folder)["model"], half)

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """(H, W, 3), resized as fast-reid's evaluation does."""
        return self._resize(picture)

    @torch.no_grad()
    def __call__(self, batch: Sequence[NDArray[np.uint8]], cameras: Sequence[str] = ()) -> NDArray[np.float32]:
        """Features (B, D); the images' cameras, if any are given, are for a path that goes by them."""
        images = torch.from_numpy(self.description.input.feed(np.stack(batch))).to(self._device)
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            features: Tensor = self._model({"images": images, **({"cameras": cameras} if cameras else {})})
        return features.float().cpu().numpy()


def _folded(model: nn.Module) -> nn.Module:
    paths = getattr(model, "test_paths", (MeanPath(),))
    return fold_gdnorm(model, paths[0]) if len(paths) == 1 and isinstance(paths[0], AffinePath) else model


def resizing(cfg: CfgNode) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """What makes of an RGB picture one of the network's size, (H, W, 3), as fast-reid's evaluation does."""
    resize = Compose(build_transforms(cfg, is_train=False).transforms[:-1])  # the last is for tensors
    return lambda picture: np.asarray(resize(picture))
