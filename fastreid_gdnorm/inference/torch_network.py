"""A fast-reid model, with or without GDNorm, run by torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from ..layers import AffinePath, MeanPath, fold_gdnorm, gdnorm_layers
from ..modeling import branched
from ..modeling.chosen_paths import CameraPaths
from ..runs import files
from ..runs.run_checkpoints import load_model, model_digest
from ..runs.run_config import load_config
from ..runs.run_folder import load_run_config
from ..site_cameras import SiteCameras
from .description import CHECKPOINT_FILE, Description, ModelInput, read_manifest

_settings = threading.Lock()


class TorchNetwork:
    """A :class:`Network` of a config and its checkpoint; pictures are prepared as in fast-reid's evaluation.

    If the test path is one affine map for all images, the model is folded along it and can run in several threads at
    once. Otherwise threads take turns. A folded model on the CPU has a thread for each core: cores that share a batch
    wait for each other in every layer, which is slow beside other busy processes.

    Args:
        cfg: config of a trained model, which runs on MODEL.DEVICE.
        digest: the trained model's digest, from :func:`model_digest`.
        half: use half precision where it is stable, on CUDA only.
    """

    def __init__(self, cfg: CfgNode, digest: str, half: bool) -> None:
        self._device = torch.device(cfg.MODEL.DEVICE)
        if half and self._device.type != "cuda":
            raise UserError(
                f"--half needs CUDA, but the model runs on {self._device}: leave out --half, or use --device cuda"
            )
        self._half = half
        self.engine = f"torch on {self._device}"
        model = load_model(cfg).eval()
        paths = getattr(model, "test_paths", ())
        self.cameras = next((path.cameras for path in paths if isinstance(path, CameraPaths)), SiteCameras(()))
        self._model = _folded(model)
        one_at_a_time = self._device.type != "cpu" or gdnorm_layers(self._model)
        self.threads = 1 if one_at_a_time else torch.get_num_threads()
        self.pool = _pool(self.threads) if self.threads > 1 else None
        self._resize = resizing(cfg)
        size = (int(cfg.INPUT.SIZE_TEST[0]), int(cfg.INPUT.SIZE_TEST[-1]))
        blank = self.prepare(Image.new("RGB", size[::-1]))
        self.description = Description(digest, cfg.TEST.METRIC, 0, ModelInput(size))
        self.description = self.description._replace(features=self([blank]).shape[1])

    @classmethod
    def of_run(cls, folder: Path, device: str, half: bool, path: str) -> TorchNetwork:
        """Open a folder of ``fastreid train``, along ``path`` unless that is ""."""
        cfg = load_run_config(folder, device, has_data_sets=False)
        if path:
            cfg = branched(cfg)
            cfg.MODEL.GDNORM.TEST_PATH = path
        return cls(cfg, model_digest(cfg), half)

    @classmethod
    def of_export(cls, folder: Path, device: str, half: bool) -> TorchNetwork:
        """Open a folder of ``fastreid export``."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        overrides = ["MODEL.DEVICE", device, "MODEL.WEIGHTS", str(folder / CHECKPOINT_FILE)]
        return cls(load_config(folder / files.CONFIG, overrides), read_manifest(folder)["model"], half)

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Resize a picture to (H, W, 3) as fast-reid's evaluation does."""
        return self._resize(picture)

    @torch.no_grad()
    def __call__(self, batch: Sequence[NDArray[np.uint8]], cameras: Sequence[str] = ()) -> NDArray[np.float32]:
        """Features (B, D); ``cameras`` selects each image's path if the model has a path for each camera."""
        images = torch.from_numpy(np.stack(batch)).to(self._device).permute(0, 3, 1, 2).float()
        if self._device.type != "cpu":
            images = images.contiguous()  # on the CPU, channels-last is faster
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            features: Tensor = self._model({"images": images, **({"cameras": cameras} if cameras else {})})
        return features.float().cpu().numpy()


def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool whose threads use one core each; all of them have started."""
    pool, all_started = ThreadPoolExecutor(threads, initializer=_use_one_core), threading.Barrier(threads)
    list(pool.map(lambda _: all_started.wait(), range(threads)))
    return pool


def _use_one_core() -> None:
    """Let torch use one core in this new thread; all other threads keep the number that they have or would have."""
    with _settings:
        usual = torch.get_num_threads()
        torch.set_num_threads(1)  # counts for this thread and for new ones
        restored = threading.Thread(target=torch.set_num_threads, args=(usual,))
        restored.start()
        restored.join()


def _folded(model: nn.Module) -> nn.Module:
    paths = getattr(model, "test_paths", (MeanPath(),))
    return fold_gdnorm(model, paths[0]) if len(paths) == 1 and isinstance(paths[0], AffinePath) else model


def resizing(cfg: CfgNode) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """A function that resizes an RGB picture to the network's size, (H, W, 3), as fast-reid's evaluation does."""
    resize = Compose(build_transforms(cfg, is_train=False).transforms[:-1])  # the last transform makes tensors
    return lambda picture: np.asarray(resize(picture))
