"""What happens inside GDNorm while it trains? Writes results/why.md and why.png.

    python projects/GDNorm/benchmarks/why/why.py --output logs/why

Trains two rows of evidence.py once more on its first three sources. Every three epochs it measures, on the same
training batches, the losses along each kind of path, what stale statistics add to them, how far the branches lie apart,
and the angle between the gradients of the domain path and of a sampled path. The measurements do not affect the
training. Finished runs are kept. It takes about ten minutes on two cores.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import torch
from benchmarks.does_it_work.evidence_rows import GROUPS, ROWS, THREE, train_row
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from benchmarks.shared.rows import run_all
from fastreid.engine.hooks import HookBase
from matplotlib.figure import Figure
from tabulate import tabulate

from fastreid_gdnorm.layers import DomainPath, GaussianProcess, SampledPath
from fastreid_gdnorm.layers.eval_mode import evaluating
from fastreid_gdnorm.layers.running_statistics import copy_statistics, keeping_statistics, restore_statistics
from fastreid_gdnorm.registries import HOOK_REGISTRY
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.training.population_statistics import domain_loaders, estimate_branches

PERIOD, BATCHES = 3, 4
KINDS = ("running", "precise")  # kinds of statistics
METHODS = ("branches only (E)", "GDNorm, variance (E+S)")


@HOOK_REGISTRY.register()
class Probe(HookBase):
    """Writes a line of measurements into OUTPUT_DIR/why.jsonl, before the first epoch and after every third."""

    def __init__(self, model, loader, estimating, file):
        self._model, self._loader, self._estimating, self._file = model, loader, estimating, file
        self._batches = []

    @classmethod
    def from_config(cls, cfg, trainer):
        loaders, _ = domain_loaders(cfg, trainer.data_loader.dataset)
        file = Path(cfg.OUTPUT_DIR, "why.jsonl")
        return cls(trainer.model, trainer.data_loader, loaders, file)

    def before_train(self):
        with torch.random.fork_rng():
            of_loader = iter(self._loader)
            self._batches = [next(of_loader) for _ in range(BATCHES)]
        self._measure(0)

    def after_epoch(self):
        if (self.trainer.epoch + 1) % PERIOD == 0:
            self._measure(self.trainer.epoch + 1)

    def _measure(self, epoch):
        model, before = self._model, copy_statistics(self._model)
        with torch.random.fork_rng(), keeping_statistics(model):
            torch.manual_seed(0)
            found = {"epoch": epoch, **self._losses("running"), **self._gradients(), **self._process()}
        with evaluating(model):
            estimate_branches(model, self._estimating)
        with torch.random.fork_rng(), keeping_statistics(model):
            torch.manual_seed(0)
            found.update(self._losses("precise"))
        restore_statistics(model, before)
        with open(self._file, "a") as file:
            file.write(json.dumps(found) + "\n")

    @torch.no_grad()
    def _losses(self, statistics):
        """Losses along the domain path, the mean path (a sampled path without noise) and a sampled path."""
        paths = {
            "domain path": lambda batch: DomainPath(batch["domains"]),
            "mean path": lambda batch: SampledPath(0.0),
            "sampled path": lambda batch: SampledPath(self._model.scale, self._model.noise),
        }
        return {
            f"{name}, {statistics}": float(np.mean([float(self._loss(make(batch), batch)) for batch in self._batches]))
            for name, make in paths.items()
        }

    def _loss(self, path, batch):
        return sum(self._model._along(path, batch).losses.values())

    def _gradients(self):
        """Cosine between the gradients of the domain path and a sampled path, for shared weights and for BN's."""
        shared, branched = [], []
        for batch in self._batches:
            one = self._gradient(DomainPath(batch["domains"]), batch)
            other = self._gradient(SampledPath(self._model.scale, self._model.noise), batch)
            for names, values in ((shared, False), (branched, True)):
                pairs = [(one[n], other[n]) for n in one if n in other and (".branches." in n) == values]
                a, b = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
                names.append(float(torch.cosine_similarity(a, b, dim=0)))
        return {"cosine, shared weights": float(np.mean(shared)), "cosine, branches": float(np.mean(branched))}

    def _gradient(self, path, batch):
        named = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        gradients = torch.autograd.grad(self._loss(path, batch), [*named.values()], allow_unused=True)
        return {name: g for name, g in zip(named, gradients) if g is not None}

    def _process(self):
        """Median and 99 % quantile over all channels of both kinds of noise, relative to |M(a)|."""
        moments = [m for _, m in GaussianProcess(self._model)]
        mean = torch.cat([m.mean_a.detach().abs() for m in moments])
        var = torch.cat([m.var_a.detach() for m in moments])
        quantiles = {"median": 0.5, "99 %": 0.99}
        found = {}
        for name, noise in (("variance", var), ("std", var.sqrt())):
            relative = self._model.scale * noise / mean
            for of, share in quantiles.items():
                found[f"noise by {name}, {of}"] = float(relative.quantile(share))
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/why"), help="default: %(default)s")
    args = parser.parse_args()
    runs = {name: args.output / name.replace(" ", "_").replace(",", "") for name in METHODS}
    run_all(train_probed, [(run, name) for name, run in runs.items()], jobs=2, what="rows")
    write_page(
        {
            name: [json.loads(line) for line in (run / "why.jsonl").read_text().splitlines()]
            for name, run in runs.items()
        }
    )


def train_probed(run, name):
    """Train a row of evidence.py with the probe unless that is done."""
    if (run / files.FINAL).is_file():
        return
    (run / "why.jsonl").unlink(missing_ok=True)
    hooks = ("SOLVER.HOOKS", "('DomainPreciseBN','Probe')")
    row = dataclasses.replace(ROWS[name], overrides=(*ROWS[name].overrides, *hooks))
    train_row(run, row, GROUPS[THREE], seed=0)


def write_page(measured):
    """Write the page above its hand-written section, and the figure; ``measured`` is {row: [measurements]}."""
    parts = [
        "# What happens inside GDNorm while it trains",
        f"{written_by('why/why.py')}\n"
        f"Rows of [evidence.md](evidence.md) with three sources, measured on {BATCHES} training batches after the\n"
        "given epochs. Losses are the sum of identity and triplet loss, along paths with the running statistics of\n"
        "training or with precise ones, estimated anew for the weights (`DomainPreciseBN`). Noise is relative to\n"
        "|M(a)| over all channels.",
        *(f"## {name}\n\n{table(lines)}" for name, lines in measured.items()),
        "![Losses, noise and gradients over training](why.png)",
    ]
    write_above_reading(RESULTS / "why.md", "\n\n".join(parts) + "\n")
    save_figure(RESULTS / "why.png", measured)


def table(lines):
    """One line for each quantity, one column for each quarter of the training."""
    chosen = [lines[place] for place in np.linspace(0, len(lines) - 1, 5).round().astype(int)]
    names = [name for name in lines[0] if name != "epoch"]
    rows = [[name, *(f"{line[name]:.3g}" for line in chosen)] for name in names]
    return tabulate(rows, ["epochs", *(line["epoch"] for line in chosen)], tablefmt="github", disable_numparse=True)


def save_figure(file, measured):
    """One column for each row: losses, noise, gradients."""
    panels = {
        "loss": [f"{path}, {kind}" for path in ("domain path", "mean path", "sampled path") for kind in KINDS],
        "noise / |M(a)|": [f"noise by {noise}, {of}" for noise in ("variance", "std") for of in ("median", "99 %")],
        "cosine of gradients": ["cosine, shared weights", "cosine, branches"],
    }
    figure = Figure(figsize=(5 * len(measured), 3.2 * len(panels)), layout="constrained")
    all_axes = figure.subplots(len(panels), len(measured), sharex=True, sharey="row")
    for axes, (what, names) in zip(all_axes, panels.items()):
        for ax, lines in zip(axes, measured.values()):
            for number, name in enumerate(names):
                paired = len(names) > 2  # each pair shares a colour; its second line is dashed
                colour, style = (f"C{number // 2}", "-" if number % 2 == 0 else "--") if paired else (f"C{number}", "-")
                ax.plot(
                    [line["epoch"] for line in lines], [line[name] for line in lines], style, color=colour, label=name
                )
            ax.grid(alpha=0.3)
            if what.startswith("noise"):
                ax.set_yscale("log")
        axes[0].set_ylabel(what)
        axes[-1].legend(fontsize="small")
    for ax, row in zip(all_axes[0], measured):
        ax.set_title(row)
    for ax in all_axes[-1]:
        ax.set_xlabel("epochs")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
