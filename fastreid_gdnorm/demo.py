"""The work of ``fastreid demo``: four trainings, tested on unseen synthetic domains before and after adaptation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from fastreid.config import get_cfg
from tabulate import tabulate
from tqdm import tqdm

from .console import say
from .data import read
from .disk import check_writable
from .evaluation import interval
from .evaluation.camera_offset_hook import following_offsets
from .evaluation.kept_images import KeptTest
from .export import export_model
from .inference import FeatureExtractor
from .inference.adaptation import Adapter, adapt_site
from .inference.offset_adaptation import adapt_offsets
from .inference.records import Record
from .inference.unlabelled import by_camera, site_images
from .layers import gdnorm_layers
from .modeling.chosen_paths import CameraPaths
from .report.page import write_report
from .report.ranked_queries import ranked_results
from .runs import files
from .runs.experiments import run_side_by_side, train_row
from .runs.methods import METHODS
from .runs.process_pool import spawned_pool, threads_each
from .runs.run_checkpoints import load_model
from .runs.run_config import load_config, shipped
from .runs.tables import save_table

CONFIGS = "projects/GDNorm/configs/demo"
ROWS = {method: METHODS[method] for method in ("baseline", "branches", "gdnorm", "recommended")}
# the sources and targets of results/evidence.md, with fewer people in the tests
SOURCES = tuple(f"RenderedSmallDraw{seed}" for seed in range(300, 303))
UNSEEN = tuple(f"RenderedSmallDraw{seed}" for seed in range(200, 212))
IMAGES = 16
Results = dict[str, Mapping[str, float]]  # metrics by target


class Tested(NamedTuple):
    """A row's tests: as trained, with MEAN_OF path (if it has branches), and after ``fastreid adapt``."""

    trained: Results
    mean_of_path: Results
    adapted: Results


def run_demo(
    output: str | Path,
    seed: int = 0,
    overrides: Sequence[object] = (),
    sources: Sequence[str] = SOURCES,
    targets: Sequence[str] = UNSEEN,
) -> None:
    """Train the rows side by side, test and adapt them on ``targets``, and write tables and a report to ``output``.

    Each row is a run of ``fastreid train`` in its own process. Finished runs are kept, and an interrupted one resumes.
    ``overrides`` are KEY, VALUE, ... for all rows.
    """
    folder = Path(output)
    check_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = ["DATASETS.NAMES", str(tuple(sources)), "DATASETS.TESTS", str(tuple(targets[:2]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        render((*sources, *targets))
        say(
            f"Training on {', '.join(sources)}; testing on {len(targets)} unseen domains, {targets[0]} to {targets[-1]}"
        )
        run_side_by_side(
            {
                name: train_row(folder / method, shipped(f"{CONFIGS}/{method}.yml"), seed, [*data, *overrides])
                for method, name in ROWS.items()
            }
        )
        say(f"Testing each network, then adapting it to each target with {IMAGES} unlabelled images per camera")
        with spawned_pool(len(ROWS) + 1, threads_each(len(ROWS))) as pool:
            shown = pool.submit(show_runs, folder, targets[0])
            rows = test_rows(folder, targets, pool)
            shown.result()
        table = save_results(rows, folder)
    say(f"\n{table}\n\n{closing(folder, folder / 'gdnorm' / files.CONFIG, targets)}")


def render(names: Sequence[str]) -> None:
    """Render the data sets that are not on disk yet, one per core at a time."""
    with ProcessPoolExecutor() as pool:
        for _ in tqdm(pool.map(_render, names), "rendering", len(names), leave=False, disable=None):
            pass


def _render(name: str) -> None:
    read(get_cfg(), name)


def show_runs(folder: Path, target: str) -> None:
    """Draw GDNorm's ranked results on ``target``, export it, and write a report on all runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = folder / "gdnorm" / files.CONFIG
        cfg = load_config(config)
        ranked_results(load_model(cfg), cfg, target, folder / "ranked_results.png")
        export_model(config, folder / "export")
        write_report([folder / method for method in ROWS], folder / "report")


def test_rows(folder: Path, targets: Sequence[str], pool: ProcessPoolExecutor) -> dict[str, Tested]:
    """Test every row on every target, before and after adaptation; rows are tested side by side."""
    tested = pool.map(_test_row, *zip(*((folder / method, targets, line) for line, method in enumerate(ROWS))))
    return dict(zip(ROWS.values(), tested))


def _test_row(run: Path, targets: Sequence[str], line: int) -> Tested:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = load_model(load_config(run / files.CONFIG))
        tested = Tested({}, {}, {})
        cfg = load_config(run / files.CONFIG, ["MODEL.GDNORM.MEAN_OF", "path"])
        mean_of_path = load_model(cfg) if gdnorm_layers(model) else None
        adapter = Adapter(run) if mean_of_path else FeatureExtractor(run)
        for target in tqdm(targets, f"testing {run.name}", position=line, leave=False, disable=None):
            test = KeptTest(cfg, target, model.device)
            tested.trained[target] = test(model)
            if mean_of_path:
                tested.mean_of_path[target] = test(mean_of_path)
            cameras = {camera: _sample(own) for camera, own in by_camera(site_images([target], cfg)).items()}
            tested.adapted[target] = _test_adapted(test, model, adapter, cameras, run / "adapted" / target)
    return tested


def _test_adapted(
    test: KeptTest,
    model: Any,
    adapter: Adapter | FeatureExtractor,
    cameras: Mapping[str, list[Record]],
    folder: Path,
) -> Mapping[str, float]:
    """Adapt to the images of each camera as ``fastreid adapt`` does by default, then test."""
    records = [record for own in cameras.values() for record in own]
    if isinstance(adapter, FeatureExtractor):
        with following_offsets(model, adapt_offsets(adapter, records, folder), folder):
            return test(model)
    site = adapt_site(adapter, records, cameras, folder)
    paths = {camera: own.path for camera, own in site.cameras.items()}
    adapted: Any = adapter.model
    adapted.test_paths = [CameraPaths(paths, site.whole.path)]
    return test(adapted)


def _sample(records: Sequence[Record]) -> list[Record]:
    return [records[index] for index in np.random.default_rng(0).permutation(len(records))[:IMAGES]]


def save_results(rows: Mapping[str, Tested], folder: Path) -> str:
    """Write all tests to results.csv and .json, and the table of averages to .md; returns that table."""
    lines = [
        [name, target, path, metrics["Rank-1"], metrics["mAP"]]
        for name, tested in rows.items()
        for path, results in tested._asdict().items()
        for target, metrics in results.items()
    ]
    data = {name: tested._asdict() for name, tested in rows.items()}
    table = results_table(rows)
    save_table(folder, "results", ["row", "target", "network", "Rank-1", "mAP"], lines, data, table + "\n")
    return table


def results_table(rows: Mapping[str, Tested]) -> str:
    """Averages over the targets, in Markdown; differences are paired by target and have 95 % intervals."""
    reference = next(iter(rows.values())).trained
    table = []
    for name, (trained, *others) in rows.items():
        cells = [_average(trained, "Rank-1"), _average(trained, "mAP")]
        cells += ["" if trained is reference else _difference(trained, reference)]
        cells += [f"{_average(of, 'mAP')} ({_difference(of, reference)})" if of else "" for of in others]
        table.append([name, *cells])
    headers = ["", "R1", "mAP", "against the baseline", "with MEAN_OF path", f"adapted, {IMAGES} images per camera"]
    return str(tabulate(table, headers, tablefmt="github", disable_numparse=True))


def _average(results: Results, metric: str) -> str:
    return f"{np.mean([metrics[metric] for metrics in results.values()]):.1f}"


def _difference(results: Results, reference: Results) -> str:
    difference, half = interval([metrics["mAP"] - reference[target]["mAP"] for target, metrics in results.items()])
    return f"{difference:+.1f} ± {half:.1f}"


def closing(folder: Path, config: Path, targets: Sequence[str]) -> str:
    """How to read the table, and what to try next."""
    run = config.parent
    return (
        f"Averages over {len(targets)} unseen domains; differences from the baseline have 95 % intervals over them.\n"
        "Each row is one short training. The last column is what fastreid adapt does by default: by features for\n"
        "the baseline, by norms for rows with branches. After longer trainings, recommended was the best row on\n"
        "photographs and on synthetic domains alike, at this size of images. At 128x64, a baseline with larger\n"
        "batches was better: projects/GDNorm/results/photographs.md.\n\n"
        f"Report: {folder}/report/report.html   Table: {folder}/results.md, .csv, .json\n"
        f"Ranked results: {folder}/ranked_results.png   Stock fast-reid model: {folder}/export   "
        f"Logs: {folder}/*/{files.LOG}\n\n"
        "Try next:\n"
        f"  fastreid eval --model {run} --path ensemble\n"
        f"  fastreid paths --model {run} --output {run / files.PATHS} --samples 20\n"
        f"  fastreid eval --model {run} --path posterior:{run / 'adapted' / targets[0]}\n"
        f"  fastreid train --config-file {config} OUTPUT_DIR logs/mine MODEL.GDNORM.NOISE std\n"
        "  fastreid train --help"
    )
