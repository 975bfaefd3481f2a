"""What the performance benchmarks share: interleaved timing, one table, one JSON file.

Shared machines are noisy, so times from different runs are never compared. Every contender runs once in each round. A
ratio is the median over rounds of candidate / reference, both from the same round.
"""

import argparse
import copy
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import torch
from benchmarks.shared.pages import measured
from tabulate import tabulate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

BATCH = {"cpu": (24, (256, 128)), "cuda": (128, (384, 128))}  # images in a batch; their height and width


def arguments(description, repeats, flags=(), **others):
    """Parse a benchmark's command line.

    Its options are --output, --device, --repeats, and ``others``, which map names to help. Those in ``flags`` take no
    value.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--output", type=Path, help="JSON file to write the rows to")
    parser.add_argument("--device", default=device, choices=("cpu", "cuda"), help="default here: %(default)s")
    parser.add_argument("--repeats", type=int, default=repeats, help="rounds, default: %(default)s")
    for name, text in others.items():
        parser.add_argument(f"--{name}", action="store_true" if name in flags else "store", help=text)
    return parser.parse_args()


def interleave(contenders, rounds, device="cpu", warm_up=True):
    """Time every contender in every round, {name: [seconds]}, after a warm-up round.

    Args:
        contenders: {name: function without arguments}. Each round runs all in turn and starts one contender later.
    """
    seconds = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(-1 if warm_up else 0, rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = _now(device)
            contenders[name]()
            if number >= 0:
                seconds[name].append(_now(device) - start)
    return seconds


class Apart:
    """A contender in a process of its own, which gives it its own allocator and peak memory. Calling it runs it once.

    Args:
        make: Function that takes ``arguments`` in that process and returns the contender, a function without arguments.
    """

    def __init__(self, make, *arguments):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, arguments), daemon=True)
        self._process.start()
        self._receive()  # wait until it is made

    def __call__(self):
        """Run it once."""
        return self._ask("run")

    def peak(self):
        """Peak memory so far in MiB; on CUDA, of the GPU."""
        return self._ask("peak")

    def ask(self, function):
        """The result of ``function(contender)`` in that process."""
        return self._ask(function)

    def close(self):
        self._process.terminate()
        self._process.join()

    def _ask(self, what):
        self._connection.send(what)
        return self._receive()

    def _receive(self):
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError("a contender's process ended; its error is printed above") from None


def _serve(connection, make, arguments):
    before = peak_resident()
    run = make(*arguments)
    connection.send(None)
    has_gpu = torch.cuda.is_available()
    while True:
        what = connection.recv()
        if callable(what):
            answer = what(run)
        elif what == "run":
            run()
            if has_gpu:
                torch.cuda.synchronize()
            answer = None
        else:
            used = torch.cuda.max_memory_allocated() / 2**20 if has_gpu else 0
            answer = used or peak_resident() - before
        connection.send(answer)


def row(what, against, goal, seconds, candidate, reference, weight=1.0):
    """A table row: ``candidate`` against ``weight`` times ``reference``, both keys of ``seconds``."""
    ratios = [own / (weight * other) for own, other in zip(seconds[candidate], seconds[reference])]
    return {
        "what": what,
        "against": against,
        "goal": goal,
        "ratio": round(statistics.median(ratios), 3),
        "from": round(min(ratios), 3),
        "to": round(max(ratios), 3),
        "seconds": round(statistics.median(seconds[candidate]), 4),
    }


def rows_of(seconds, lines):
    """One :func:`row` for each (what, candidate, reference, goal) in ``lines`` whose candidate was run."""
    return [
        row(what, against, goal, seconds, candidate, against)
        for what, candidate, against, goal in lines
        if candidate in seconds
    ]


def once(line):
    """``line`` without the range over rounds, for what was measured once."""
    return {name: value for name, value in line.items() if name not in ("from", "to")}


def finish(title, rows, args):
    """Print ``rows`` as a table and write them to ``args.output`` if given, with what ran when and where."""
    by = f"{Path(sys.argv[0]).name} --device {args.device}, {measured(args.device)}"
    print(f"\n{title}\n{by}\n")
    print(tabulate(rows, headers="keys", tablefmt="github"))
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps({"title": title, "by": by, "rows": rows}, indent=2))


def gflop(function):
    """10^9 floating-point operations in convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        function()
    return round(counter.get_total_flops() / 1e9, 1)


def without_norm(model):
    """A copy of ``model`` without its BN layers: no implementation of BN can be faster."""
    model = copy.deepcopy(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return model


def peak_resident():
    """This process's peak memory so far in MiB (Linux)."""
    # resource.getrusage would also count the process that started this one
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def _now(device):
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()
