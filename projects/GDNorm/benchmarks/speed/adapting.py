"""How long does `fastreid adapt --by norms` take for any number of images?

    python projects/GDNorm/benchmarks/speed/adapting.py [--output FILE.json]

Adapts ResNet-50 with K = 3 at 64x32 to the images of one camera, which are random and 64x32 too, and compares this
with one pass of the network over 256 of them. It takes about a minute on two cores.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import torch
from PIL import Image

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import arguments, finish, interleave, rows_of
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.inference.adaptation import Adapter
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.layers import gdnorm_layers
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run_config import load_config

SIZE, NUMBERS = (64, 32), (256, 257, 426)


def make_run(folder, device):
    """Write a run of a network whose branches differ, without training."""
    data = ["DATASETS.NAMES", "('RenderedStreet','RenderedMall','RenderedCampus')", "INPUT.SIZE_TEST", [*SIZE]]
    overrides = [*data, "MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 1000, "MODEL.DEVICE", device]
    cfg = load_config("configs/Base-GDNorm.yml", [*overrides, "OUTPUT_DIR", str(folder)])
    model = DefaultTrainer.build_model(cfg)
    for layer in gdnorm_layers(model).values():
        for branch in layer.branches:
            branch.running_mean.normal_(0, 0.1)
    Checkpointer(model, str(folder)).save(files.FINAL.removesuffix(".pth"))
    (folder / files.CONFIG).write_text(cfg.dump())


def make_images(folder, count):
    rng = np.random.default_rng(0)
    records = [Record(str(folder / f"{number}.jpg"), "1") for number in range(count)]
    for record in records:
        Image.fromarray(rng.integers(256, size=(*SIZE, 3), dtype=np.uint8)).save(record.path)
    return records


def main():
    args = arguments(__doc__, repeats=2)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_run(folder, args.device)
        records = make_images(folder, max(NUMBERS))
        adapter = Adapter(folder, args.device)
        extractor = FeatureExtractor(folder, device=args.device, batch_size=256)
        paths = [record.path for record in records[:256]]
        contenders = {"one pass over 256 images": lambda: extractor(paths)}
        for number in NUMBERS:
            contenders[f"{number} images"] = lambda n=number: adapter.adapt(records[:n], folder / "path.npz")
        seconds = interleave(contenders, args.repeats, args.device)
    lines = (
        ("adapt, 257 images of a camera", "257 images", "256 images", "<= 1.3"),
        ("adapt, 426 images of a camera", "426 images", "256 images", "<= 1.3"),
        ("adapt, 256 images of a camera", "256 images", "one pass over 256 images", ""),
    )
    finish("Adapting by norms, ResNet-50, K = 3, 64x32", rows_of(seconds, lines), args)


if __name__ == "__main__":
    main()
