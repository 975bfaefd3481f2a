"""How long do commands and imports take to start?

    python projects/GDNorm/benchmarks/speed/startup.py [--output FILE.json]

Each runs in a process of its own, with its files already in the cache. It takes a minute on two cores.
"""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

from benchmarks.shared.measure import arguments, finish, interleave, rows_of

# stock fast-reid only imports with these names, which today's Python and torch no longer have
STOCK = (
    "import collections, collections.abc as a, sys, types; collections.Mapping = a.Mapping; "
    "t = sys.modules['torch._six'] = types.ModuleType('torch._six'); t.string_classes = (str,); "
    "import fastreid.engine; fastreid.engine.DefaultTrainer"
)
STARTED = {
    "stock": ["-c", STOCK],
    "plugin and toolbox": ["-c", "import fastreid_gdnorm, fastreid.engine; fastreid.engine.DefaultTrainer"],
    "plugin": ["-c", "import fastreid_gdnorm"],
    "layers": ["-c", "import fastreid_gdnorm.layers"],
    "torch": ["-c", "import torch"],
    "fastreid --help": ["-m", "fastreid_gdnorm", "--help"],
    "fastreid train --help": ["-m", "fastreid_gdnorm", "train", "--help"],
}


def start(words):
    return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)


def main():
    args = arguments(__doc__, repeats=2)
    seconds = interleave({name: start(words) for name, words in STARTED.items()}, args.repeats)
    lines = (
        ("import fastreid_gdnorm, fastreid.engine", "plugin and toolbox", "stock", "<= 1.10"),
        ("import fastreid_gdnorm", "plugin", "stock", "<= 1.10"),
        ("import fastreid_gdnorm.layers", "layers", "torch", ""),
        ("fastreid --help", "fastreid --help", "stock", "< 1 s"),
        ("fastreid train --help", "fastreid train --help", "stock", ""),
    )
    finish("Start-up; stock is fastreid.engine alone, with the names it needs", rows_of(seconds, lines), args)


if __name__ == "__main__":
    main()
