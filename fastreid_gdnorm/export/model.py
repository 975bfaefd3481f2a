"""``fastreid export``: a path through a trained model as a stock fast-reid model, TorchScript and ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..console import say
from ..runs import files
from ..runs.checkpoints import find_weights, load_model
from ..runs.config import load_config
from .check import check_images, compare
from .formats import CHECKPOINT, ONNX, TORCHSCRIPT
from .manifest import write_manifest
from .stock import on_cpu, path_to_fold, stock_config, stock_model


def export_model(
    config_file: str | Path,
    output: str | Path,
    path: str = "mean",
    onnx: bool = False,
    fuse: bool = False,
    overrides: Sequence[object] = (),
) -> dict[str, Any]:
    """Write config.yaml and model.pth of the stock model that ``path`` amounts to, and manifest.json, into ``output``.

    Args:
        path: mean, source:K or sample:SEED.
        onnx: also model.onnx, preprocessing inside: images (B, 3, H, W), RGB from 0 to 255, to features (B, D).
        fuse: also model_fused.pt, TorchScript of the same form, with BN folded into the convolutions; so is the ONNX.

    Returns:
        What is in manifest.json.

    Raises:
        UserError: there is no stock model for it, or what was written gives other features than the trained model.
    """
    cfg = load_config(config_file, overrides)
    cfg.MODEL.WEIGHTS = find_weights(cfg)
    folded = path_to_fold(cfg, path)
    cfg.MODEL.GDNORM.TEST_PATH = path
    model = load_model(on_cpu(cfg)).eval().double()
    images = check_images(cfg)
    with torch.no_grad():
        expected = model({"images": images.double()})
    stock_cfg = stock_config(cfg)
    stock = stock_model(stock_cfg, model, folded)

    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    (output / files.CONFIG).write_text(stock_cfg.dump())
    checks = {}
    for form in (CHECKPOINT, *[TORCHSCRIPT] * fuse, *[ONNX] * onnx):
        run = form.write(stock, images, output / form.file)
        checks[form.file] = compare(form.file, run, images, expected, form.tolerance)
    manifest = write_manifest(output, config_file, cfg, stock_cfg, expected.shape[1], checks)
    for name, check in checks.items():
        say(f"{output / name}: largest difference {check['difference']:.1e} (tolerance {check['tolerance']:.0e})")
    config, weights = output / files.CONFIG, output / CHECKPOINT.file
    say(f"{config}: stock fast-reid loads it with MODEL.WEIGHTS {weights}")
    return manifest
