"""``fastreid report``: one page with what you need to know about one or more runs to decide on a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..console import say
from ..disk import check_writable, write_text
from ..runs.methods import METHODS, method
from ..runs.run_data import RunData
from ..runs.run_folder import RunFolder
from .document import Block, Heading, Paragraph, to_html, to_markdown
from .opening import data_tables, introduction, results_tables, settings_table, warnings_about
from .run_sections import sections_about


def write_report(run_dirs: Sequence[str | Path], output: str | Path | None = None) -> None:
    """Write report.html, report.md and the pictures that report.md refers to.

    Args:
        run_dirs: output folders of ``fastreid train``; the others are compared with the first.
        output: the folder to write to; by default ``report`` in the run's folder, or in the working directory if
            there are several runs.

    Raises:
        UserError: a folder is not a run, was never tested, or has no checkpoint.
    """
    folders = list(dict.fromkeys(Path(os.path.abspath(folder)) for folder in run_dirs))
    runs = dict(zip(_labels(folders), map(RunFolder, folders)))
    output = Path(output or (folders[0] / "report" if len(folders) == 1 else "report"))
    check_writable(output)
    output.mkdir(parents=True, exist_ok=True)
    data = {name: RunData(run.cfg) for name, run in runs.items()}
    blocks: list[Block] = [
        Heading(1, f"Person re-identification: {', '.join(runs)}"),
        *introduction(runs),
        *warnings_about(runs, data),
        Heading(2, "Results"),
        *results_tables(runs),
        Heading(2, "What each run was trained and tested on"),
        settings_table(runs),
        Heading(3, "Data sets"),
        *data_tables(data),
    ]
    for number, (name, run) in enumerate(runs.items(), 1):
        say(f"[{number}/{len(runs)}] {name}: curves, then ranked results on {', '.join(run.targets)}")
        blocks.append(Heading(2, f"{name}: {METHODS[method(run.cfg)]}"))
        blocks += sections_about(run, data[name], output, f"run{number}")
    blocks.append(Paragraph(f"Made by `fastreid report {' '.join(map(str, folders))}`."))
    write_text(output / "report.md", to_markdown(blocks), errors="xmlcharrefreplace")
    write_text(output / "report.html", to_html(blocks), errors="xmlcharrefreplace")
    say(f"written to {output}: report.html (a single file), and report.md with its pictures")


def _labels(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of the folders above as it takes to tell them apart."""
    deepest = max(len(folder.parts) for folder in folders)
    attempts = (["/".join(folder.parts[-parts:]) for folder in folders] for parts in range(1, deepest + 1))
    return next(labels for labels in attempts if len(set(labels)) == len(folders))
