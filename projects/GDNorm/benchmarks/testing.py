"""The forward of evaluation: GDNorm's mean path and what ``fastreid export`` makes of it, against stock Baseline.

    python projects/GDNorm/benchmarks/testing.py [--output FILE.json]

ResNet-50 by the shipped base configs, K = 3, random images, in float32 as fast-reid evaluates. On CPU 24 of 256x128, on
CUDA 128 of 384x128. About 5 minutes on two cores.
"""

import functools
import tempfile
from pathlib import Path

import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer
from measure import BATCH, arguments, finish, gflop, interleave, row, without_norm
from torch import nn

from fastreid_gdnorm.export import export_model
from fastreid_gdnorm.runs.checkpoints import load_model
from fastreid_gdnorm.runs.config import load_config

SOURCES = "('RenderedStreet','RenderedMall','RenderedCampus')"


def make_models(images, folder):
    """Stock Baseline, a GDNorm model of the same origin, and what is exported of it into ``folder``, by name."""
    overrides = ["MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 1000, "MODEL.DEVICE", images.device.type]
    overrides += ["DATASETS.NAMES", SOURCES, "INPUT.SIZE_TEST", [*images.shape[2:]]]
    stock = DefaultTrainer.build_model(load_config("configs/Base-baseline.yml", overrides))
    take_statistics(stock, images[:8])
    Checkpointer(stock, str(folder)).save("stock")

    config, weights, exported = folder / "gdnorm.yaml", str(folder / "gdnorm.pth"), folder / "exported"
    cfg = load_config("configs/Base-GDNorm.yml", [*overrides, "MODEL.WEIGHTS", weights])
    gdnorm = DefaultTrainer.build_model(cfg)
    Checkpointer(gdnorm, str(folder)).load(str(folder / "stock.pth"))
    tell_branches_apart(gdnorm)
    Checkpointer(gdnorm, str(folder)).save("gdnorm")
    config.write_text(cfg.dump())
    export_model(config, exported, fuse=True)
    return {
        "stock": stock.eval(),
        "mean path": gdnorm.eval(),
        "exported": load_model(
            load_config(exported / "config.yaml", ["MODEL.WEIGHTS", f"{exported}/model.pth"])
        ).eval(),
        "fused": torch.jit.load(f"{exported}/model_fused.pt", map_location=images.device),
        "convolutions": without_norm(stock).eval(),
    }


def take_statistics(model, images):
    """Running statistics are those of the images."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.backbone.train()(model.preprocess_image({"images": images}))


def tell_branches_apart(model):
    """Every branch gets statistics and weights of its own."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.mul_(torch.exp(0.1 * torch.randn_like(values)))


def forward_of(model, images):
    """A function without arguments; what was exported with --fuse takes images, not batches of fast-reid's."""
    return functools.partial(model, images if isinstance(model, torch.jit.ScriptModule) else {"images": images})


def main():
    args = arguments(__doc__, repeats=9)
    torch.manual_seed(0)
    size, image = BATCH[args.device]
    images = 255 * torch.rand(size, 3, *image, device=args.device)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        models = make_models(images, Path(folder))
        forwards = {name: forward_of(model, images) for name, model in models.items()}
        for name in ("stock", "convolutions"):
            forwards[f"{name}, channels-last"] = forward_of(models[name], channels_last)
        seconds = interleave(forwards, args.repeats, args.device)
        rows = [
            {**row(what, against, goal, seconds, name, against), "GFLOP": gflop(forwards[name])}
            for what, name, against, goal in (
                ("mean path", "mean path", "stock", "<= 1.00"),
                ("mean path", "mean path", "stock, channels-last", ""),
                ("exported", "exported", "stock", "<= 1.00"),
                ("exported with --fuse", "fused", "stock", "<= 0.85"),
                ("floor: convolutions alone", "convolutions", "stock", ""),
                ("floor in channels-last", "convolutions, channels-last", "stock", ""),
            )
        ]
    finish(f"Evaluation forward, ResNet-50, K = 3, batch {size} of {image[0]}x{image[1]}", rows, args)


if __name__ == "__main__":
    main()
