"""Why does GDNorm as printed diverge? Writes results/apart.md, apart.png, apart.csv and apart_end.csv.

    export FASTREID_DATASETS=DIR
    python projects/GDNorm/benchmarks/why/apart.py --output logs/apart

Trains branches only and sampled paths by variance and by std, on photographs and on synthetic domains, from the shipped
start with the demo's configs. Four times an epoch it measures how far the noise of Eq. 11 exceeds the mean it is added
to, and how many channels are silent in one source. At the end it measures losses and gradients along each kind of path.

data/photographs.py fills DIR; synthetic domains are rendered into it. Finished runs and rows of the tables are kept. It
takes half an hour on two cores.
"""

import argparse
import csv
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import benchmarks.data.photograph_domains  # noqa: F401  registers what DATA names
import torch
from benchmarks.shared.rows import run_all, schedule, words
from benchmarks.why.apart_page import CSV, END, SILENT, read_rows, write_page, write_rows
from fastreid.engine import DefaultTrainer
from fastreid.engine.hooks import HookBase

from fastreid_gdnorm.layers import DomainPath, MeanPath, SampledPath, gdnorm_layers
from fastreid_gdnorm.layers.running_statistics import keeping_statistics, restore_statistics
from fastreid_gdnorm.registries import HOOK_REGISTRY
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.run import train
from fastreid_gdnorm.runs.run_config import shipped
from fastreid_gdnorm.runs.run_folder import load_run_config
from fastreid_gdnorm.training.noise_watch import relative_noise

DATA = {  # sources, epochs
    "photographs": (("CUHK03Pair2", "CUHK03Pairs3to5", "CUHK01"), 12),
    "drawings": (("RenderedDraw300", "RenderedDraw301", "RenderedDraw302"), 24),
}
ROWS = {  # one of the demo's configs, overrides
    "branches only (E)": ("branches", ()),
    "GDNorm, variance": ("gdnorm", ()),
    "GDNorm, std": ("gdnorm", ("MODEL.GDNORM.NOISE", "std")),
}
NECK = "heads.bottleneck.0"
BATCHES = 4  # for the measurement at the end


@HOOK_REGISTRY.register()
class Probe(HookBase):
    """Writes a line of measurements into OUTPUT_DIR/apart.csv four times an epoch."""

    def __init__(self, model, file, every):
        self._model, self._file, self._every = model, file, every
        self._lines = []

    @classmethod
    def from_config(cls, cfg, trainer):
        return cls(trainer.model, Path(cfg.OUTPUT_DIR, CSV), trainer.iters_per_epoch // 4)

    @torch.no_grad()
    def after_step(self):
        step = self.trainer.iter + 1
        if step % self._every:
            return
        history = self.trainer.storage.histories()
        losses = {name: history[name].avg(self._every) for name in ("loss_cls", "loss_cls_path") if name in history}
        self._lines.append({"step": step, "loss_cls": "", "loss_cls_path": "", **_short({**losses, **self._noise()})})

    def after_train(self):
        write_rows(self._file, self._lines)

    def _noise(self):
        layers, scale = gdnorm_layers(self._model), self._model.scale
        by_variance, by_std = (
            max(relative_noise(layer, scale, noise) for layer in layers.values()) for noise in ("variance", "std")
        )
        var = layers[NECK].stacked()[3]
        silent = 100 * float((var.min(0).values < SILENT * var.mean(0)).float().mean())
        return {"noise": by_variance, "noise_std": by_std, "silent": silent}


def _short(numbers):
    return {name: f"{number:.5g}" for name, number in numbers.items()}


class PartlySampledPath(SampledPath):
    """Noise by variance in the layers that ``is_noisy`` selects, and the mean path in the others."""

    def __init__(self, is_noisy):
        super().__init__()
        self._is_noisy = is_noisy

    def affine(self, layer):
        return super().affine(layer) if self._is_noisy(layer) else MeanPath().affine(layer)


def measure_end(run):
    """One line for each kind of path through a run's last model, with running and with precise statistics."""
    cfg = load_run_config(run, "cpu")
    cfg.defrost()
    cfg.OUTPUT_DIR, cfg.SOLVER.HOOKS = str(run / "end"), ()
    trainer = DefaultTrainer(cfg)
    saved = trainer.checkpointer.load(str(run / files.FINAL), checkpointables=[])
    model, of_loader = trainer.model.train(), iter(trainer.data_loader)
    batches, neck = [next(of_loader) for _ in range(BATCHES)], gdnorm_layers(model)[NECK]
    paths = {
        "domain path": lambda batch: DomainPath(batch["domains"]),
        "mean path": lambda batch: SampledPath(0.0),
        "sampled by std": lambda batch: SampledPath(noise="std"),
        "sampled by variance": lambda batch: SampledPath(),
        "sampled by variance, not in the neck": lambda batch: PartlySampledPath(lambda layer: layer is not neck),
        "sampled by variance, in the neck alone": lambda batch: PartlySampledPath(lambda layer: layer is neck),
    }
    precise = {name: measure(model, make, batches) for name, make in paths.items()}
    restore_statistics(model, saved["running_statistics"])
    for name, make in paths.items():
        (loss, norm), (by_precise, _) = measure(model, make, batches), precise[name]
        yield {"path": name, **_short({"identity loss": loss, "with precise statistics": by_precise, "gradient": norm})}


def measure(model, make, batches):
    """Identity loss and norm of the convolutions' gradient along ``make(batch)``, averaged over batches."""
    convolutions = [p for p in model.backbone.parameters() if p.dim() == 4]
    found = torch.zeros(2)
    for number, batch in enumerate(batches):
        torch.manual_seed(number)
        with keeping_statistics(model):
            losses = model._along(make(batch), batch).losses
        gradients = torch.autograd.grad(sum(losses.values()), convolutions)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        found += torch.stack([losses["loss_cls"].detach(), norm])
    return (found / len(batches)).tolist()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/apart"), help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="number of trainings side by side; default: %(default)s")
    args = parser.parse_args()
    tables = {name: read_rows(name) for name in (CSV, END)}
    missing = [(args.output, data, row) for data in DATA for row in ROWS if (data, row) not in tables[END]]
    run_all(run_row, missing, args.jobs, "rows")
    for name, found in tables.items():
        for output, data, row in missing:
            with open(folder_of(output, data, row) / name) as file:
                found[data, row] = [*csv.DictReader(file)]
    write_page({(data, row): tuple(found[data, row] for found in tables.values()) for data in DATA for row in ROWS})


def folder_of(output, data, row):
    return output / f"{data}-{row}".replace(" ", "_").replace(",", "")


def run_row(output, data, row):
    """Train and measure a row, skipping finished parts."""
    (sources, epochs), (config, overrides), run = DATA[data], ROWS[row], folder_of(output, data, row)
    settings = {
        "DATASETS.NAMES": str(sources),
        "DATASETS.TESTS": f"('{sources[0]}',)",
        **schedule(epochs),
        "SOLVER.HOOKS": "('DomainPreciseBN','Probe')",
        "OUTPUT_DIR": run,
    }
    if not (run / files.FINAL).is_file():
        train(shipped(f"projects/GDNorm/configs/demo/{config}.yml"), [*words(settings), *overrides], seed=0)
    if not (run / END).is_file():
        write_rows(run / END, [*measure_end(run)])


if __name__ == "__main__":
    main()
