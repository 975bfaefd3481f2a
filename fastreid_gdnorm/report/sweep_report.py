"""``fastreid paths``: the paper's Figure 2 and Table 5 for your own model and targets."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from fastreid.config import CfgNode
from fastreid.utils import comm

from ..console import say
from ..disk import check_writable, file_name, locked, save_figure
from ..errors import UserError
from ..evaluation import METRICS
from ..evaluation.path_sweep import Record, summarize, sweep
from ..modeling import is_gdnorm
from ..runs import files
from ..runs.job_lock import claim
from ..runs.launcher import launch
from ..runs.run_checkpoints import load_model
from ..runs.run_folder import load_trained_config
from ..runs.tables import save_table
from .document import Block, Heading, to_markdown
from .path_figures import sweep_figures
from .sweep_tables import tables_of_sweep

LAMBDAS = tuple(n / 10 for n in range(1, 11))
COLUMNS = ("target", "path", "lambda", *METRICS, "seconds_per_batch")


def sweep_paths(
    config_file: str | Path,
    output: str | Path,
    samples: int = 100,
    lambdas: Sequence[float] = LAMBDAS,
    overrides: Sequence[object] = (),
) -> None:
    """Test a model along every source's path, the mean path, the ensemble, and ``samples`` paths at each lambda.

    Each path becomes a line of paths.jsonl in ``output`` as soon as it is tested, from which an interrupted sweep
    resumes. At the end, paths.csv, paths.json, paths.md and two figures per target are written.

    Raises:
        UserError: it is not a GDNorm model, or ``output`` holds a sweep of another model or test.
    """
    cfg = load_trained_config(config_file, overrides)
    if not is_gdnorm(cfg):
        raise UserError(f"paths are for GDNorm models; MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}")
    check_writable(output)
    cfg.MODEL.GDNORM.TEST_PATH = "mean"  # so that the model is loaded with what its mean path needs
    launch(_sweep, device=cfg.MODEL.DEVICE, args=(cfg, Path(output), samples, lambdas))


def _sweep(cfg: CfgNode, output: Path, samples: int, lambdas: Sequence[float]) -> None:
    model = load_model(cfg)
    is_main = comm.is_main_process()
    if is_main:
        output.mkdir(parents=True, exist_ok=True)
    with locked(output) if is_main else contextlib.nullcontext():
        if is_main:
            claim(output / files.CLAIM, cfg)
        comm.synchronize()
        records = sweep(model, cfg, output / files.RECORDS, samples, lambdas)
        if is_main:
            text = _save(records, output)
            say(f"{text}\nwritten to {output}: paths.md, .csv, .json and figures")


def _save(records: Sequence[Record], folder: Path) -> str:
    """Write tables and figures into ``folder``, and return the tables as Markdown."""
    tables = tables_of_sweep(records)
    blocks: list[Block] = []
    for target, of_it in tables.items():
        blocks += [Heading(2, target), *of_it]
    text = to_markdown(blocks)
    rows = [[record[column] for column in COLUMNS] for record in records]
    save_table(folder, files.PATHS, COLUMNS, rows, {"summary": summarize(records), "paths": records}, text)
    for target in tables:
        for name, figure in sweep_figures(records, target).items():
            save_figure(folder / f"{file_name(target)}_{name}.png", figure, dpi=130)
    return text
