"""``fastreid paths``: what the paper's Figure 2 and Table 5 show, for one's own model and targets."""

import csv
import json
from pathlib import Path

from tabulate import tabulate

from ..console import say
from ..errors import UserError
from ..evaluation import METRICS
from ..evaluation.path_sweep import summarize, sweep
from ..modeling import is_gdnorm
from ..modeling.path_names import parse_test_path
from ..runs.checkpoints import load_model
from ..runs.claim import claim
from ..runs.config import load_config
from ..training.population_statistics import complete_mean_path
from . import paths_figure, samples_figure

COLUMNS = ("target", "path", "lambda", *METRICS, "seconds_per_batch")


def sweep_paths(config_file, output, samples=100, lambdas=tuple(n / 10 for n in range(1, 11)), overrides=()):
    """Test a model along every source's path, the mean path, the ensemble, and ``samples`` paths at each lambda.

    ``output`` gets paths.jsonl, a line for every path as soon as it is tested, from which a stopped sweep goes on;
    then paths.csv, paths.json and paths.md, and for every target two figures.

    Raises:
        UserError: it is no GDNorm model, or ``output`` holds a sweep of another one, or one tested in another way.
    """
    cfg = load_config(config_file, overrides)
    if not is_gdnorm(cfg):
        raise UserError(f"paths are for GDNorm models; MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}")
    model = load_model(cfg)
    model.test_paths = parse_test_path("mean", cfg)
    complete_mean_path(cfg, model)
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    claim(output / "sweep.json", cfg)
    records = sweep(model, cfg, output / "paths.jsonl", samples, lambdas)
    summary = summarize(records)
    text = "\n".join(_text_of(target, records, summary[target]) for target in summary)
    (output / "paths.json").write_text(json.dumps({"summary": summary, "paths": records}, indent=2) + "\n")
    (output / "paths.md").write_text(text)
    with open(output / "paths.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)
    for target in summary:
        paths_figure(records, target).savefig(output / f"{target}_paths.png", dpi=130)
        if samples:
            samples_figure(records, target).savefig(output / f"{target}_samples.png", dpi=130)
    say(f"{text}\nIn {output}: paths.md, .csv, .json and figures")


def _text_of(target, records, summary):
    """Tables 5 and, in numbers, Figure 2."""
    own = [record for record in records if record["target"] == target]
    single = [
        [r["path"], *(f"{r[metric]:.1f}" for metric in METRICS), f"{1000 * r['seconds_per_batch']:.0f} ms"]
        for r in own
        if r["lambda"] is None
    ]
    sampled = [
        [scale, metric, f"{s['mean path']:.1f}", f"{s['rank']} of {s['of']}"]
        + [f"{s[key]:.1f}" for key in ("average", "worst", "best")]
        for metric, of_scales in summary.items()
        for scale, s in of_scales.items()
    ]
    headers = ["lambda", "", "mean path", "its rank", "average of samples", "worst", "best"]
    tables = [tabulate(single, ["path", *METRICS, "a batch"], tablefmt="github", disable_numparse=True)]
    if sampled:
        tables.append(tabulate(sampled, headers, tablefmt="github", disable_numparse=True))
    return f"## {target}\n\n" + "\n\n".join(tables) + "\n"
