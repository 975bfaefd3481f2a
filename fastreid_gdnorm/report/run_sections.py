"""A report's sections on one run: curves, the Gaussian process, the path sweep, ranked results."""

import warnings

from ..evaluation import METRICS, header
from ..evaluation.path_sweep import read_records, summarize
from ..layers import GaussianProcess
from ..runs.checkpoints import load_model
from .document import Cell, Heading, Paragraph, Pictures, Table
from .path_figures import paths_figure, samples_figure
from .run_figures import band, band_figure, curves_figure, spread_figure, width_figure
from .tables import ranked_results

DPI = 150
SAME = 0.05  # points of mAP that one model may differ by from test to test


def run_sections(run, data, output, prefix):
    """The blocks about a RunFolder; its pictures are written to ``output``, their names begin with ``prefix``."""
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
        yield Paragraph("There is none: plain batch norm has no branches that could differ.")
    yield Heading(3, "Ranked results of the worst and best queries")
    yield from _ranked(run, model, data, output, prefix)


class _Pictures:
    """Saves figures as ``prefix``_NAME.png in a folder."""

    def __init__(self, output, prefix):
        self._output, self._prefix = output, prefix

    def __call__(self, figure, name, caption):
        file = self._output / f"{self._prefix}_{name}.png"
        figure.savefig(file, dpi=DPI)
        return file, caption


def _curves(run, picture):
    if not any("total_loss" in record for record in run.records):
        yield Paragraph("Not known: metrics.json has no losses.")
        return
    caption = "Losses and learning rate in training."
    if run.is_gdnorm and run.cfg.MODEL.GDNORM.NUM_PATHS:
        caption = "Losses (those whose names end in path are of the sampled paths) and learning rate in training."
    yield Pictures([picture(curves_figure(run.records), "curves", caption)])


def _gaussian_process(run, model, picture):
    scale, noise = run.cfg.MODEL.GDNORM.LAMBDA, run.cfg.MODEL.GDNORM.NOISE
    process = [
        (name, type(moments)(*(values.detach().cpu() for values in moments)))
        for name, moments in GaussianProcess(model)
    ]
    spread = "variance" if noise == "variance" else "standard deviation"
    yield Paragraph(
        f"Normalisation at every layer is a·x + b, with one (a, b) for each source. M is their mean over the sources, "
        f"which the mean path follows; the band is lambda = {scale:g} times their {spread} to either side, which is "
        "how far sampled paths deviate (Eq. 10, 11). Both are averaged over a layer's channels."
    )
    pictures = [
        picture(band_figure(process, scale, noise), "band", f"M and its band of ± {scale:g} times the {spread}."),
        picture(width_figure(process, scale, noise), "width", "The band's half width alone, on a logarithmic scale."),
    ]
    spreads = [record for record in run.records if "gaussian_process/var_a" in record]
    if spreads:
        caption = "How far the sources' branches lie apart in the course of training: the mean variance of a and of b."
        pictures.append(picture(spread_figure(spreads), "spread", caption))
    yield Pictures(pictures)
    yield Paragraph(_narrowed_or_widened(spreads))
    rows = [[name, *(Cell(f"{value:.3g}") for value in values)] for name, *values in band(process, scale, noise)]
    yield Table(["layer", "M(a)", "±", "M(b)", "±"], rows, title=f"All {len(rows)} layers in numbers")


def _narrowed_or_widened(spreads):
    if len(spreads) < 2:
        return "How it narrowed or widened in training is not known: metrics.json has too few gaussian_process/var_a."
    parts = []
    for part in "ab":
        first, last = (spreads[place][f"gaussian_process/var_{part}"] for place in (0, -1))
        change = "widened" if last > first else "narrowed"
        times = f" {max(first, last) / min(first, last):.1f}-fold" if min(first, last) > 0 else ""
        parts.append(f"the band of {part} {change}{times} (mean variance {first:.3g} to {last:.3g})")
    return f"From the first to the last epoch {' and '.join(parts)}."


def _path_sweep(run, picture):
    records = read_records(run.folder / "paths" / "paths.jsonl")
    tested = {record["target"] for record in records if record["path"] == "mean"}
    records = [record for record in records if record["target"] in tested]
    if not records:
        folder = run.folder / "paths"
        command = f"fastreid paths --config-file {run.folder / 'config.yaml'} --output {folder}"
        yield Paragraph(f"There is none in {folder}. This makes one: `{command}`")
        return
    yield Paragraph(
        "Results along every source's own path, the mean path (which is what is deployed), the ensemble of the "
        "sources, and paths sampled from the Gaussian process."
    )
    for target, of_metrics in summarize(records).items():
        own = [record for record in records if record["target"] == target]
        (mean_path,) = [record["mAP"] for record in own if record["path"] == "mean"]
        tested = run.results.get(target, {}).get("mAP", mean_path)
        if run.cfg.MODEL.GDNORM.TEST_PATH == "mean" and abs(mean_path - tested) > SAME:
            text = (
                f"The sweep's mean path has mAP {mean_path:.1f}, the results above have {tested:.1f}: it is a sweep of "
            )
            yield Paragraph(f"{text}another checkpoint, or of another test.", is_warning=True)
        pictures = [picture(paths_figure(own, target), f"{target}_paths", f"{target}: single paths and the ensemble.")]
        sampled = [
            [f"{metric}, lambda {scale:g}", f"{s['rank']} of {s['of']}"]
            + [Cell(f"{s[key]:.1f}") for key in ("mean path", "average", "worst", "best")]
            for metric, of_scales in of_metrics.items()
            for scale, s in of_scales.items()
        ]
        if sampled:
            pictures.append(picture(samples_figure(own, target), f"{target}_samples", f"{target}: sampled paths."))
        yield Pictures(pictures, is_wide=True)
        yield Table(
            ["path", *(header(metric) for metric in METRICS)],
            [[r["path"], *(Cell(f"{r[metric]:.1f}") for metric in METRICS)] for r in own if r["lambda"] is None],
        )
        if sampled:
            headers = [target, "mean path's rank", "mean path", "average sample", "worst", "best"]
            yield Table(headers, sampled, title="Sampled paths in numbers")


def _ranked(run, model, data, output, prefix):
    for target in run.targets:
        if target in data.missing:
            yield Paragraph(f"Not drawn: {data.missing[target]}")
            continue
        file = output / f"{prefix}_{target}_ranked.jpg"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ranked_results(model, run.cfg, target, file)
        yield Pictures(
            [
                (
                    file,
                    f"{target}: queries from the worst to the best by AP (average precision, %), and their first "
                    "matches in other cameras: green is the right person, red a wrong one.",
                )
            ],
            is_wide=True,
        )
