"""Reads the files and the output of toy runs for tests."""

import json

CLOCKS = {"time", "data_time", "eta_seconds"}  # metrics that depend on the machine


def metrics(folder):
    """The lines of a run's metrics file, without CLOCKS."""
    lines = (folder / "metrics.json").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCKS} for line in lines]


def losses(folder):
    return [line["total_loss"] for line in metrics(folder) if "total_loss" in line]


def last_test(folder):
    return [line for line in metrics(folder) if "mAP" in line][-1]


def table(stdout):
    """The numbers of RenderedStation's last row."""
    row = [line for line in stdout.splitlines() if line.startswith("| RenderedStation ")][-1]
    return [float(cell) for cell in row.split("|")[2:-1]]


def one_line(done):
    """The command's one line on stderr about a user's mistake; checks that it exits with 2 and prints no traceback."""
    assert done.returncode == 2, done.stdout + done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith("fastreid ")]
    assert len(own) == 1 and done.stderr.splitlines()[-1] == own[0]
    assert "Traceback" not in done.stderr + done.stdout
    return own[0]
