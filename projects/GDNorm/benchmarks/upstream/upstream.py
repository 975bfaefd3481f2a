"""Do fast-reid's own tests and projects behave the same beside the plugin? Writes results/upstream.md.

    git clone https://github.com/JDAI-CV/fast-reid ../fast-reid
    python projects/GDNorm/benchmarks/upstream/upstream.py --checkout ../fast-reid --output logs/upstream

Each script of the checkout trains, resumes and tests on a few small pictures on the CPU, in three ways: with the
patches alone, beside ``import fastreid_gdnorm``, and with GDNorm as its BN. The scripts import the installed fastreid
package, not the checkout's. All rows take five minutes on two idle cores. Finished rows are kept in --output, so an
interrupted run resumes; delete the folder after a change. With --only the page is not written.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import torch
from benchmarks.shared.pages import RESULTS, write_above_reading, written_by
from benchmarks.upstream.upstream_cases import PROJECTS, README_ALONE, Case
from benchmarks.upstream.upstream_data import draw_all
from tabulate import tabulate

PAGE = RESULTS / "upstream.md"
BEGIN = f"import runpy; runpy.run_path({str(Path(__file__).with_name('upstream_way.py'))!r})\n"
PYTEST = "import sys, pytest; sys.exit(pytest.main(['-q', '-rs', '-p', 'no:cacheprovider', *sys.argv[1:]]))\n"
WAYS = ("patched", "beside", "gdnorm")
LIMIT = 900  # seconds that a run may take
ERROR = re.compile(r"^(?:E +)?(?:\w+\.)*(\w*(?:Error|Exception|Failure)\b.*)", re.MULTILINE)
SKIPPED = re.compile(r"^SKIPPED .*?: (?:Skipped: )?(.*)", re.MULTILINE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, required=True, help="a work tree of JDAI-CV/fast-reid")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run only rows whose names begin with one of these")
    parser.add_argument("--output", type=Path, default=Path("logs/upstream"), help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side, default: %(default)s")
    args = parser.parse_args()
    checkout, output = args.checkout.resolve(), args.output.resolve()
    cases = [case for case in cases_of(checkout) if case.name.startswith(tuple(args.only or [""]))]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        draw_all(Path(folder))
        begun = {
            (case.name, way): pool.submit(result, case, way, checkout, output, folder)
            for case in cases
            for way in WAYS
            if case.runs and (way != "gdnorm" or case.gdnorm)
        }
        found = {key: future.result() for key, future in begun.items()}
    text = page(cases, found, checkout)
    print(text)
    if not args.only:
        write_above_reading(PAGE, text)


def cases_of(checkout):
    """All rows: test files, the scripts of PROJECTS, and projects without Python."""
    tests = [str(file.relative_to(checkout)) for file in sorted((checkout / "tests").glob("*.py"))]
    folders = [folder for folder in sorted((checkout / "projects").iterdir()) if folder.is_dir()]
    return [
        *(Case(name, "", (name,)) for name in tests if "__init__" not in name),
        *PROJECTS,
        *(Case(folder.name, "", note=README_ALONE) for folder in folders if not any(folder.rglob("*.py"))),
    ]


def result(case, way, checkout, output, data):
    """The result of a row: {"error": "" or a line, "numbers": [[name, value]], "weights": a digest or ""}."""
    folder = output / re.sub(r"\W+", "_", case.name) / way
    file = folder / "result.json"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "numbers.jsonl").write_text("")
        start, error = time.monotonic(), ""
        for number, words in enumerate(case.runs, 1):
            words = words.format(out=folder, gdnorm=case.gdnorm if way == "gdnorm" else "")
            error = error or run(case, words, way, checkout, data, folder / f"run{number}.log")
        numbers = [json.loads(line) for line in (folder / "numbers.jsonl").read_text().splitlines()]
        if not error and way == "gdnorm" and not any(name.endswith("_path") for name, _ in numbers):
            error = "no sampled path was followed"
        file.write_text(json.dumps({"error": error, "numbers": numbers, "weights": digest(folder)}))
        print(f"{case.name}, {way}: {error or 'works'} ({time.monotonic() - start:.0f} s)", flush=True)
    return json.loads(file.read_text())


def run(case, words, way, checkout, data, log):
    """Run a script or a test file after upstream_way.py; return the line of its error, or ""."""
    environment = {
        **os.environ,
        "FASTREID_DATASETS": data,
        "PYTHONPATH": str((checkout / case.script).parent),  # the project's own package is there
        "OMP_NUM_THREADS": "1",
        "UPSTREAM_WAY": way,
        "UPSTREAM_MIXIN": case.mixin,
        "UPSTREAM_NUMBERS": str(log.with_name("numbers.jsonl")),
    }
    with tempfile.TemporaryDirectory() as folder, open(log, "w") as file:
        script = Path(folder) / "script.py"
        script.write_text(BEGIN + ((checkout / case.script).read_text() if case.script else PYTEST))
        words = [word if word != "''" else "" for word in words.split()]
        options = {"cwd": checkout, "env": environment, "stdout": file, "stderr": subprocess.STDOUT, "timeout": LIMIT}
        try:
            status = subprocess.run([sys.executable, script, *words], **options).returncode
        except subprocess.TimeoutExpired:
            return f"not finished after {LIMIT} s"
    text = log.read_text()
    skipped, errors = SKIPPED.search(text), ERROR.findall(text)
    if status:
        return errors[-1].strip() if errors else f"exit status {status}"
    return f"skipped: {skipped[1]}" if skipped else ""


def digest(folder):
    """Digest of the weights of all finished trainings in ``folder``; "" if there are none."""
    hashed = hashlib.sha256()
    files = sorted(folder.glob("*/model_final.pth"))
    for file in files:
        for name, value in sorted(torch.load(file, weights_only=True)["model"].items()):
            hashed.update(name.encode() + value.numpy().tobytes())
    return hashed.hexdigest() if files else ""


def page(cases, found, checkout):
    """The page without its hand-written section; ``found`` is {(row, way): result}."""
    table, notes = [], []
    for case in cases:
        patched, beside, gdnorm = (found.get((case.name, way)) for way in WAYS)
        note = case.note
        for way, of in (("patches alone", patched), ("beside", beside), ("with GDNorm", gdnorm)):
            if of and of["error"]:
                reason = re.sub(r" \(/.*?\)|(?<=')/[^']*/(?=[^'/]+')", "", of["error"])  # drop this machine's paths
                notes += [f"- {case.name}, {way}: `{reason}`"]
        table.append([case.name, state(patched), state(beside), same(patched, beside), branches(case, gdnorm), note])
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "--short=7", "HEAD"], capture_output=True, text=True)
    headers = ["", "patches alone", "beside the plugin", "numbers of both", "with GDNorm", "note"]
    return (
        "# Upstream's own tests and projects\n\n"
        f"{written_by('upstream/upstream.py --checkout ../fast-reid')}\n"
        f"It ran the scripts of JDAI-CV/fast-reid at {commit.stdout.strip()} with the installed fastreid package.\n\n"
        f"{tabulate(table, headers, tablefmt='github', disable_numparse=True)}\n\n"
        "The last line of each error:\n\n" + "\n".join(notes) + "\n"
    )


def state(of):
    if of is None:
        return "-"
    return ("skipped" if of["error"].startswith("skipped") else "fails") if of["error"] else "works"


def branches(case, of):
    return case.reason or "-" if of is None else state(of)


def same(patched, beside):
    """Whether the numbers logged in both ways, and the weights, are equal to the last bit."""
    if not (patched and beside and patched["numbers"] and beside["numbers"]):
        return "-"
    pairs = list(zip(patched["numbers"], beside["numbers"]))
    first = next(((own, other) for own, other in pairs if own != other), None)
    if first:
        return "first difference: {} {:.6g}, {} {:.6g}".format(*first[0], *first[1])
    if len(patched["numbers"]) != len(beside["numbers"]):
        return f"the first {len(pairs)} equal, until one fails"
    return f"all {len(pairs)} equal" + (", weights too" if patched["weights"] == beside["weights"] != "" else "")


if __name__ == "__main__":
    main()
