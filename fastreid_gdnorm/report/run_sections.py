"""The sections of a report about one run: curves, the Gaussian process, the path sweep, ranked results."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from ..disk import file_name, save_figure
from ..evaluation.path_sweep import read_records
from ..layers import GaussianProcess
from ..runs import files
from ..runs.run_checkpoints import load_model
from ..runs.run_data import RunData
from ..runs.run_folder import RunFolder
from .document import Block, Cell, Heading, Paragraph, Pictures, Table
from .path_figures import sweep_figures
from .ranked_queries import ranked_results
from .run_figures import band, band_figure, curves_figure, spread_figure, width_figure
from .sweep_tables import tables_of_sweep

DPI = 150
SAME = 0.05  # points of mAP by which two tests of one model can differ
SWEEP_CAPTIONS = {"paths": "single paths and the ensemble", "samples": "sampled paths"}


def sections_about(run: RunFolder, data: RunData, output: Path, prefix: str) -> Iterator[Block]:
    """The blocks about a run; its pictures are written to ``output`` as ``prefix``_NAME."""
    model = load_model(run.cfg)
    picture = _Pictures(output, prefix)
    yield Heading(3, "Loss and learning rate")
    yield from _curves(run, picture)
    yield Heading(3, "Gaussian process over depth")
    if run.is_gdnorm:
        yield from _gaussian_process(run, model, picture)
        yield Heading(3, "Path sweep")
        yield from _path_sweep(run, picture)
    else:
        yield Paragraph("None: plain batch norm has no branches.")
    yield Heading(3, "Ranked results of the worst and best queries")
    yield from _ranked(run, model, data, output, prefix)


class _Pictures:
    """Saves figures as ``prefix``_NAME.png in a folder."""

    def __init__(self, output: Path, prefix: str) -> None:
        self._output, self._prefix = output, prefix

    def __call__(self, figure: Figure, name: str, caption: str) -> tuple[Path, str]:
        file = self._output / f"{self._prefix}_{file_name(name)}.png"
        save_figure(file, figure, DPI)
        return file, caption


def _curves(run: RunFolder, picture: _Pictures) -> Iterator[Block]:
    if not any("total_loss" in record for record in run.records):
        yield Paragraph("Not available: metrics.json has no losses.")
        return
    caption = "Losses and learning rate during training."
    if run.is_gdnorm and run.cfg.MODEL.GDNORM.NUM_PATHS:
        caption = "Losses and learning rate during training; names that end in path are losses along sampled paths."
    yield Pictures([picture(curves_figure(run.records), "curves", caption)])


def _gaussian_process(run: RunFolder, model: nn.Module, picture: _Pictures) -> Iterator[Block]:
    scale, noise = run.cfg.MODEL.GDNORM.LAMBDA, run.cfg.MODEL.GDNORM.NOISE
    process = [
        (name, type(moments)(*(values.detach().cpu() for values in moments)))
        for name, moments in GaussianProcess(model)
    ]
    spread = "variance" if noise == "variance" else "standard deviation"
    yield Paragraph(
        "Each layer normalises by a·x + b, with one (a, b) per source. M is the mean over the sources, which the mean "
        f"path follows. The band reaches lambda = {scale:g} times the {spread} to either side, which is how far "
        "sampled paths deviate (Eq. 10 and 11). Both are averaged over the channels of a layer."
    )
    pictures = [
        picture(band_figure(process, scale, noise), "band", f"M with its band of ± {scale:g} times the {spread}."),
        picture(width_figure(process, scale, noise), "width", "Half the width of the band."),
    ]
    spreads = [record for record in run.records if "gaussian_process/var_a" in record]
    if spreads:
        caption = "How far apart the branches of the sources are during training: the mean variance of a and of b."
        pictures.append(picture(spread_figure(spreads), "spread", caption))
    yield Pictures(pictures)
    yield Paragraph(_narrowed_or_widened(spreads))
    rows = [[name, *(Cell(f"{value:.3g}") for value in values)] for name, *values in band(process, scale, noise)]
    yield Table(["layer", "M(a)", "±", "M(b)", "±"], rows, title=f"The numbers of all {len(rows)} layers")


def _narrowed_or_widened(spreads: Sequence[dict[str, Any]]) -> str:
    if len(spreads) < 2:
        return "Whether the band narrowed is not known: metrics.json has too few values of gaussian_process/var_a."
    parts = []
    for part in "ab":
        first, last = (spreads[index][f"gaussian_process/var_{part}"] for index in (0, -1))
        change = "widened" if last > first else "narrowed"
        times = f" {max(first, last) / min(first, last):.1f}-fold" if min(first, last) > 0 else ""
        parts.append(f"the band of {part} {change}{times} (mean variance {first:.3g} to {last:.3g})")
    return f"From the first to the last epoch {' and '.join(parts)}."


def _path_sweep(run: RunFolder, picture: _Pictures) -> Iterator[Block]:
    records = read_records(run.sweep / files.RECORDS)
    mean_paths = {record["target"]: record["mAP"] for record in records if record["path"] == "mean"}
    records = [record for record in records if record["target"] in mean_paths]
    if not records:
        command = f"fastreid paths --model {run.folder} --output {run.sweep}"
        yield Paragraph(f"None in {run.sweep}. To make one, run `{command}`")
        return
    yield Paragraph(
        "Results along every source's own path, the mean path (the one to deploy), the ensemble of the sources, and "
        "paths sampled from the Gaussian process."
    )
    for target, (single, *sampled) in tables_of_sweep(records).items():
        tested = run.results.get(target, {}).get("mAP", mean_paths[target])
        if run.cfg.MODEL.GDNORM.TEST_PATH == "mean" and abs(mean_paths[target] - tested) > SAME:
            yield Paragraph(
                f"The mean path has mAP {mean_paths[target]:.1f} in the sweep and {tested:.1f} in the results above: "
                "the sweep is of another checkpoint, or of another test.",
                is_warning=True,
            )
        pictures = [
            picture(figure, f"{target}_{name}", f"{target}: {SWEEP_CAPTIONS[name]}.")
            for name, figure in sweep_figures(records, target).items()
        ]
        yield Pictures(pictures, is_wide=True)
        yield single
        yield from (table._replace(title="The numbers of the sampled paths") for table in sampled)


def _ranked(run: RunFolder, model: nn.Module, data: RunData, output: Path, prefix: str) -> Iterator[Block]:
    for target in run.targets:
        if target in data.missing:
            yield Paragraph(f"Not drawn: {data.missing[target]}")
            continue
        file = output / f"{prefix}_{file_name(target)}_ranked.jpg"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ranked_results(model, run.cfg, target, file)
        yield Pictures(
            [
                (
                    file,
                    f"{target}: queries from the worst to the best AP (average precision, %), with their first matches "
                    "in other cameras; the right person in green, wrong ones in red.",
                )
            ],
            is_wide=True,
        )
