"""What the tests of toy runs read of them."""

import json

CLOCKS = {"time", "data_time", "eta_seconds"}  # what a metrics file says of the machine, not of the run


def metrics(folder):
    """The lines of a run's metrics file, without its clocks."""
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
    """What a mistake is answered with: exit 2 and, of the command's own, one line on stderr."""
    assert done.returncode == 2, done.stdout + done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith("fastreid ")]
    assert len(own) == 1 and done.stderr.splitlines()[-1] == own[0]
    assert "Traceback" not in done.stderr + done.stdout
    return own[0]
