"""How long does inference take, compared with the network alone?

    python projects/GDNorm/benchmarks/speed/inference.py [--output FILE.json]

"small" is the demo's network, which takes images of 64x32. Weights are random. The crops are rendered people in JPEG
files of 128x64. "CPU time" is in CPU seconds, which other processes hardly change. Wall time is measured on the machine
as it is, and beside one busy process for each CPU. The network alone computes arrays in memory, in the order and type
that it takes, with the same threads. The floor also has Pillow decode and resize each crop, in one thread. It takes
about 3 minutes on two cores.
"""

import contextlib
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import Apart, arguments, finish, interleave, row
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer
from PIL import Image

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.export import export_model
from fastreid_gdnorm.image_loading import read_picture
from fastreid_gdnorm.inference.cpus import usable_cpus
from fastreid_gdnorm.inference.extraction import extract
from fastreid_gdnorm.inference.feature_extractor import ahead
from fastreid_gdnorm.inference.onnx_network import OnnxNetwork
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.rendered import render_people
from fastreid_gdnorm.runs.run_config import load_config

SMALL = "projects/GDNorm/configs/demo/baseline.yml"
NETWORKS = {  # config, height and width, number of crops, goal
    "small, 64x32": (SMALL, [64, 32], 5_000, "<= 1.15"),
    "small, 256x128": (SMALL, [256, 128], 500, "<= 1.15"),
    "ResNet-50, 256x128": ("configs/Base-baseline.yml", [256, 128], 128, "<= 1.05"),
}
BATCH = 64
ONE_QUERY = """
import sys, faiss, onnxruntime, numpy as np
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
height, width = session.get_inputs()[0].shape[2:]
image = Image.open(sys.argv[2]).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
session.run(None, {"images": np.asarray(image, np.float32).transpose(2, 0, 1)[None]})
"""


def make_exports(folder):
    """{network: its export, with model.onnx}; beside each, a copy without that file, for torch."""
    exports = {}
    for name, (config, size, _, _) in NETWORKS.items():
        overrides = ["MODEL.BACKBONE.PRETRAIN", False, "MODEL.HEADS.NUM_CLASSES", 100, "MODEL.DEVICE", "cpu"]
        cfg = load_config(config, [*overrides, "INPUT.SIZE_TEST", size, "MODEL.WEIGHTS", f"{folder}/{name}.pth"])
        Checkpointer(DefaultTrainer.build_model(cfg), str(folder)).save(name)
        (folder / f"{name}.yaml").write_text(cfg.dump())
        exports[name] = folder / name
        export_model(folder / f"{name}.yaml", exports[name], onnx=True)
        shutil.copytree(exports[name], checkpoint_of(exports[name]), ignore=shutil.ignore_patterns("*.onnx"))
    return exports


def checkpoint_of(export):
    return export.with_name(f"{export.name} in torch")


def write_crops(folder, people=500, qualities=range(80, 90)):
    """The files of ``people`` rendered people, in each of these qualities of JPEG."""
    folder.mkdir()
    for number, pixels in enumerate(render_people("street", people)):
        for quality in qualities:
            Image.fromarray(np.asarray(pixels)).save(folder / f"{quality}_{number:04d}.jpg", quality=quality)
    return sorted(map(str, folder.iterdir()))


def interleave_cpu(contenders, rounds):
    """As ``interleave``, but CPU seconds of this process and of its children that have ended."""
    seconds = {name: [] for name in contenders}

    def timed(name, function):
        def run():
            start = cpu_seconds()
            function()
            seconds[name].append(cpu_seconds() - start)

        return run

    interleave({name: timed(name, function) for name, function in contenders.items()}, rounds)
    return {name: values[1:] for name, values in seconds.items()}  # the first is the warm-up


def cpu_seconds():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def query_row(export, crops, folder, args):
    own = [sys.executable, "-m", "fastreid_gdnorm"]
    gallery = ["--gallery", str(folder / "gallery")]
    start([*own, "index", "--model", str(export), *crops[:100], *gallery])()
    search = start([*own, "search", *gallery, crops[100]])
    bare = start([sys.executable, "-c", ONE_QUERY, str(export / "model.onnx"), crops[100]])
    seconds = interleave_cpu({"own": search, "bare": bare}, args.repeats)
    against = "imports of onnxruntime and faiss, one image read and run"
    return row("fastreid search, one query, ONNX, CPU time", against, "<= 1.20", seconds, "own", "bare")


def start(words):
    return lambda: subprocess.run(words, check=True, capture_output=True)


def index_rows(name, export, crops, args):
    """Rows of one network: extraction in onnxruntime and in torch, and one against the other."""
    _, _, number, goal = NETWORKS[name]
    contenders = {}
    for engine, model in (("onnxruntime", export), ("torch", checkpoint_of(export))):
        extractor = FeatureExtractor(model, device="cpu", batch_size=BATCH)
        assert extractor.engine == f"{engine} on cpu"
        contenders[engine] = extraction_by(extractor, crops[:number])
        contenders[f"network in {engine}"] = network_alone(extractor, crops[:number])
    contenders["Pillow"] = lambda: [extractor._network.prepare(read_picture(path)) for path in crops[:number]]
    seconds = interleave_cpu(contenders, args.repeats)
    rows = []
    for engine in ("onnxruntime", "torch"):
        network, floor = seconds[f"network in {engine}"], f"floor in {engine}"
        seconds[floor] = [sum(pair) for pair in zip(network, seconds["Pillow"])]
        against, what = "the network alone", f"{name}, {number:,} crops, {engine}, CPU time"
        rows.append(row(what, against, goal, seconds, engine, f"network in {engine}"))
        rows.append(row("floor: the network, and Pillow", against, "", seconds, floor, f"network in {engine}"))
    what = f"{name}, an export's folder, which runs in onnxruntime, CPU time"
    return [*rows, row(what, "its model.pth in torch", "<= 1.00", seconds, "onnxruntime", "torch")]


def extraction_by(extractor, crops):
    records = [Record(path) for path in crops]
    return lambda: extract(extractor, records)


def network_alone(extractor, crops):
    """A function that runs the extractor's network on batches in memory, as many at once as the extractor does."""
    network = extractor._network
    size = -(-BATCH // network.threads)
    pixels = np.stack([network.prepare(read_picture(path)) for path in crops])
    parts = [pixels[place : place + size] for place in range(0, len(pixels), size)]
    if isinstance(network, OnnxNetwork):
        fed = [network.description.input.feed(part) for part in parts]
        return lambda: [network._session.run(None, {"images": images}) for images in fed]
    fed = [torch.from_numpy(part).permute(0, 3, 1, 2).float() for part in parts]

    @torch.no_grad()
    def run(images):
        return network._model({"images": images.clone()})  # fast-reid normalises them in place

    return lambda: list(ahead(network.pool, run, fed, network.threads) if network.pool else map(run, fed))


def thread_rows(export, crops, args):
    """Wall time with the default number of threads, with one, and in torch with threads that share each batch."""
    rows = []
    for engine, model in (("onnxruntime", export), ("torch", checkpoint_of(export))):
        ways = {"default": (0, True), "one thread": (1, True), **({"shared": (0, False)} if engine == "torch" else {})}
        contenders = {way: Apart(extraction_apart, model, crops, *how) for way, how in ways.items()}
        for where, beside in (("idle", 0), ("busy", usable_cpus())):
            with busy_processes(beside):
                seconds = interleave(contenders, args.repeats)
            others = [seconds[way] for way in ways if way != "default"]
            seconds["the best other"] = [min(values) for values in zip(*others)]
            what, against = (
                f"small, 64x32, 1,000 crops, {engine}, wall time, {where} machine",
                "one thread, or all sharing each batch",
            )
            rows.append(row(what, against, "<= 1.20", seconds, "default", "the best other"))
        for contender in contenders.values():
            contender.close()
    return rows


def extraction_apart(model, crops, threads, has_pool):
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        torch.set_num_threads(threads)
    extractor = FeatureExtractor(model, device="cpu", batch_size=BATCH)
    if not has_pool:
        extractor._network.threads, extractor._network.pool = 1, None
    return extraction_by(extractor, crops)


@contextlib.contextmanager
def busy_processes(number):
    processes = [multiprocessing.get_context("spawn").Process(target=_spin, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _spin():
    while True:
        pass


def main():
    args = arguments(__doc__, repeats=3)
    args.device = "cpu"
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exports, crops = make_exports(folder), write_crops(folder / "crops")
        rows = [query_row(exports["small, 64x32"], crops, folder, args)]
        for name, export in exports.items():
            rows += index_rows(name, export, crops, args)
        rows += thread_rows(exports["small, 64x32"], crops[:1_000], args)
    finish("Inference", rows, args)


if __name__ == "__main__":
    main()
