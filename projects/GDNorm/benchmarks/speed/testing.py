"""How fast is a forward pass along GDNorm's mean path, and of its exports, compared with stock Baseline?

    python projects/GDNorm/benchmarks/speed/testing.py [--output FILE.json] [--run logs/demo/gdnorm]

Runs ResNet-50 as in the shipped base configs, with K = 3, on random images, in float32 as fast-reid evaluates: on CPU
24 images of 256x128, on CUDA 128 of 384x128. "int8" is the ONNX file after onnxruntime's static quantization. What it
loses is measured with a network that the demo has trained, calibrated on training images of its sources. How to
quantize was chosen on the sources: by the cosine between features in int8 and float32, and by time.
It takes about 2 minutes on two cores.
"""

import functools
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import BATCH, arguments, finish, gflop, interleave, rows_of, without_norm
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.data import read, read_sources
from fastreid_gdnorm.demo import UNSEEN
from fastreid_gdnorm.evaluation import build_dist, evaluate_rank
from fastreid_gdnorm.export import export_model
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config

SOURCES = "('RenderedStreet','RenderedMall','RenderedCampus')"


def make_models(images, folder):
    """By name: stock Baseline, a GDNorm model with its weights, and that model's exports in ``folder``."""
    overrides = ["MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 1000, "MODEL.DEVICE", images.device.type]
    overrides += ["DATASETS.NAMES", SOURCES, "INPUT.SIZE_TEST", [*images.shape[2:]]]
    stock = DefaultTrainer.build_model(load_config("configs/Base-baseline.yml", overrides))
    take_statistics(stock, images[:8])
    Checkpointer(stock, str(folder)).save("stock")

    on_cpu = images.device.type == "cpu"  # onnxruntime runs there
    config, weights, exported = folder / "gdnorm.yaml", str(folder / "gdnorm.pth"), folder / "exported"
    cfg = load_config("configs/Base-GDNorm.yml", [*overrides, "MODEL.WEIGHTS", weights])
    gdnorm = DefaultTrainer.build_model(cfg)
    Checkpointer(gdnorm, str(folder)).load(str(folder / "stock.pth"))
    make_branches_differ(gdnorm)
    Checkpointer(gdnorm, str(folder)).save("gdnorm")
    config.write_text(cfg.dump())
    export_model(config, exported, fuse=True, onnx=True)
    quantize(exported / "model.onnx", exported / "int8.onnx", images[:8].cpu().numpy())
    return {
        "stock": stock.eval(),
        "mean path": gdnorm.eval(),
        "exported": load_model(
            load_config(exported / "config.yaml", ["MODEL.WEIGHTS", f"{exported}/model.pth"])
        ).eval(),
        "fused": torch.jit.load(f"{exported}/model_fused.pt", map_location=images.device),
        "convolutions": without_norm(stock).eval(),
        **(
            {"onnxruntime": session(exported / "model.onnx"), "int8": session(exported / "int8.onnx")} if on_cpu else {}
        ),
    }


def take_statistics(model, images):
    """Set the running statistics to those of the images."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    model.backbone.train()(model.preprocess_image({"images": images}))


def make_branches_differ(model):
    """Give every branch its own statistics and weights."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.mul_(torch.exp(0.1 * torch.randn_like(values)))


def session(file):
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def quantize(file, output, images):
    """Write an exported ONNX file with its backbone in int8, calibrated on ``images`` (N, 3, H, W).

    Activations are uint8, from 0 after a ReLU: with onnxruntime's default, int8, most convolutions stay in float. The
    normalisation and the head stay in float, because GeM cubes its inputs: eight bits cannot hold their range.
    """
    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
    others = [node.name for node in onnx.load(str(prepared)).graph.node if not node.name.startswith("/model/backbone")]
    quantize_static(
        *(str(prepared), str(output), _Images(images)),
        activation_type=QuantType.QUInt8,
        per_channel=True,
        nodes_to_exclude=others,
    )
    written = onnx.load(str(output))
    onnx.helper.set_model_props(written, {prop.key: prop.value for prop in onnx.load(str(file)).metadata_props})
    onnx.save(written, str(output))


class _Images(CalibrationDataReader):
    def __init__(self, images):
        self._batches = iter(np.array_split(images.astype(np.float32), max(1, len(images) // 8)))

    def get_next(self):
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}


def quantized_rows(run):
    """What a run of the demo loses by quantization: on its sources' held-out identities, and on the demo's targets."""
    here = ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(run)]
    cfg = load_config(run / files.CONFIG, here)
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder)
        export_model(run / files.CONFIG, exported, onnx=True, overrides=here)
        whole = FeatureExtractor(exported / "model.onnx")
        some = [items[i][0] for items in read_sources(cfg) for i in range(0, len(items), max(1, len(items) // 40))]
        quantize(exported / "model.onnx", exported / "int8.onnx", fed(some, whole.description.input))
        extractors = whole, FeatureExtractor(exported / "int8.onnx")
        sources = loss_row("sources, held-out identities", cfg.DATASETS.NAMES, extractors, cfg)
        targets = loss_row("targets", UNSEEN, extractors, cfg)
    return [sources, {**targets, "goal": "within 0.3"}]


def loss_row(what, domains, extractors, cfg):
    """The average mAP on ``domains`` in int8 against float32, and how much the features differ."""
    whole, quantized = ([test(extractor, cfg, domain) for domain in domains] for extractor in extractors)
    before, after = ([mAP for mAP, _ in of] for of in (whole, quantized))
    cosines = [torch.cosine_similarity(one, other).mean().item() for (_, one), (_, other) in zip(whole, quantized)]
    return {
        "what": f"mAP in int8, {len(domains)} {what}",
        "against": f"in float32, {statistics.mean(before):.2f}",
        "mAP": round(statistics.mean(after), 2),
        "largest loss": round(max(one - other for one, other in zip(before, after)), 2),
        "1 - cosine": round(1 - statistics.mean(cosines), 4),
    }


def fed(paths, takes):
    """The images at these paths, prepared as the export's input."""
    height, width = takes.size
    pictures = [Image.open(path).convert("RGB").resize((width, height), Image.Resampling.BICUBIC) for path in paths]
    return takes.feed(np.stack([np.asarray(picture) for picture in pictures]))


def test(extractor, cfg, domain):
    """(mAP in percent, features (N, D)) of a domain's queries and gallery."""
    data = read(cfg, domain)
    items = data.query + data.gallery
    features = torch.from_numpy(extractor([path for path, *_ in items]))
    pids, camids = (np.array([item[place] for item in items]) for place in (1, 2))
    queries = len(data.query)
    distances = build_dist(features[:queries], features[queries:], cfg.TEST.METRIC)
    _, ap, _ = evaluate_rank(distances, pids[:queries], pids[queries:], camids[:queries], camids[queries:])
    return 100 * float(np.mean(ap)), features


def forward_of(model, images):
    """A function without arguments that runs the model; exports take images instead of fast-reid's batches."""
    if isinstance(model, onnxruntime.InferenceSession):
        return functools.partial(model.run, None, {"images": images.cpu().numpy()})
    return functools.partial(model, images if isinstance(model, torch.jit.ScriptModule) else {"images": images})


def main():
    args = arguments(__doc__, repeats=7, run="a run of the demo, such as logs/demo/gdnorm, to measure what int8 loses")
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
        work = gflop(forwards["stock"])
    rows = rows_of(
        seconds,
        (
            ("mean path", "mean path", "stock", "<= 1.00"),
            ("mean path", "mean path", "stock, channels-last", ""),
            ("exported", "exported", "stock", "<= 1.00"),
            ("exported with --fuse", "fused", "stock", "<= 0.65"),
            ("floor: convolutions alone", "convolutions", "stock", ""),
            ("floor in channels-last", "convolutions, channels-last", "stock", ""),
            ("exported with --onnx, onnxruntime", "onnxruntime", "stock", "<= 0.60"),
            ("the same in int8", "int8", "stock", "<= 0.40"),
        ),
    )
    if args.run:
        rows += quantized_rows(Path(args.run))
    finish(f"Evaluation forward, ResNet-50, K = 3, batch {size} of {image[0]}x{image[1]}, {work} GFLOP", rows, args)


if __name__ == "__main__":
    main()
