"""Runs the performance benchmarks one after the other. Writes results/performance.md.

    python projects/GDNorm/benchmarks/speed/performance.py --run logs/demo/gdnorm [--device cpu|cuda] [--full]

Each benchmark is a script in this folder. It prints a table and writes its rows as JSON into the output folder. All
take 20 minutes on two cores, and those that a GPU changes take 10 on a GPU and 16 cores. Stock ranking needs Cython and
a C compiler. The page shows every JSON file in the output folder: run this script once for each device to have both on
it.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torch
from benchmarks.shared.pages import RESULTS, page_of, write_above_reading

HERE = Path(__file__).resolve().parent
PAGE = RESULTS / "performance.md"
INTRODUCTION = (
    "Written by `python projects/GDNorm/benchmarks/speed/performance.py --run logs/demo/gdnorm`. Each section\n"
    "names the script that measured it."
)
ON_GPU = ("training", "testing", "ranking", "sweep")
SCRIPTS = (*ON_GPU, "loading", "inference", "adapting", "vector_database", "startup")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--output", type=Path, default=Path("logs/performance"), help="default: %(default)s")
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"), help="default here: %(default)s")
    parser.add_argument("--run", help="a run of the demo, such as logs/demo/gdnorm, to measure what int8 loses")
    parser.add_argument("--full", action="store_true", help="also run what takes long: 9 minutes of re-ranking")
    args = parser.parse_args()
    own = {"testing": ["--run", args.run] if args.run else [], "ranking": ["--full"] if args.full else []}
    for name in SCRIPTS if args.device == "cpu" else ON_GPU:
        print(f"{name}.py", flush=True)
        file = args.output / f"{args.device}_{name}.json"
        command = [sys.executable, HERE / f"{name}.py", "--device", args.device, "--output", file]
        subprocess.run([*command, *own.get(name, [])], check=True)
    found = [args.output / f"{device}_{name}.json" for device in ("cuda", "cpu") for name in SCRIPTS]
    results = [json.loads(file.read_text()) for file in found if file.is_file()]
    write_above_reading(PAGE, page_of("Performance", INTRODUCTION, results))
    print(PAGE)


if __name__ == "__main__":
    main()
