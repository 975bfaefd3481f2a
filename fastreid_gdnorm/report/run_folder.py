"""What a run has left in its folder."""

import json
import re
from pathlib import Path

import torch
from fastreid.utils.checkpoint import Checkpointer

from ..engine.run import find_weights
from ..engine.setup import load_config
from ..errors import UserError
from .tables import METRICS

SPREAD = " std"


class RunFolder:
    """A folder of ``fastreid train``, wherever it has been moved since: its config, weights, results and metrics.

    Attributes:
        results: {target: {metric: %}}, from test_results.json, or the last test in metrics.json.
        records: the lines of metrics.json in the order of iterations; those that a resumed run went over again are of
            its last time.

    Raises:
        UserError: it is no run, was never tested, or has no checkpoint.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not (self.folder / "config.yaml").is_file():
            raise UserError(f"{folder} is no run: it has no config.yaml; name an OUTPUT_DIR of fastreid train")
        # the page may be made on another machine than the run
        device = [] if torch.cuda.is_available() else ["MODEL.DEVICE", "cpu"]
        self.cfg = load_config(str(self.folder / "config.yaml"), device)
        self.cfg.MODEL.WEIGHTS = self._weights(self.cfg.MODEL.WEIGHTS, self.cfg.OUTPUT_DIR)
        self.cfg.OUTPUT_DIR = str(self.folder)
        self.weights = Path(find_weights(self.cfg))
        self.records = read_metrics(self.folder / "metrics.json")
        self.results = self._results()

    @property
    def is_gdnorm(self):
        return self.cfg.MODEL.META_ARCHITECTURE.startswith("GDNorm")

    @property
    def targets(self):
        """The data sets of the results; an average over them is none."""
        return [target for target in self.results if target in self.cfg.DATASETS.TESTS]

    def versions(self):
        """{Python, PyTorch, fastreid: version} as the log has it, the last ones if there are several."""
        log = self.folder / "log.txt"
        text = log.read_text(errors="replace") if log.is_file() else ""
        return dict(re.findall(r"^(Python|PyTorch|fastreid) {2,}(\S+)", text, re.MULTILINE))

    def _weights(self, named, output_dir):
        """The file to load: MODEL.WEIGHTS is what was tested if it is of this run, else what training began with."""
        if named and Path(named).parent.resolve() in (self.folder.resolve(), Path(output_dir).resolve()):
            return str(self.folder / Path(named).name)
        return Checkpointer(None, str(self.folder)).get_checkpoint_file() or named

    def _results(self):
        file = self.folder / "test_results.json"
        if file.is_file():
            return json.loads(file.read_text())
        tests = [record for record in self.records if any(name.split("/")[-1] == "mAP" for name in record)]
        if not tests:
            raise UserError(f"{self.folder} has no results: fastreid train --eval-only --config-file its config.yaml")
        results = {}
        for name, value in tests[-1].items():
            target, _, metric = name.rpartition("/")
            if metric.replace(SPREAD, "") in METRICS:
                results.setdefault(target or self.cfg.DATASETS.TESTS[0], {})[metric] = value
        return results


def read_metrics(file):
    """The lines of a metrics.json, one for each iteration; those before a return to an earlier iteration are dropped.

    Raises:
        UserError: it has other lines.
    """
    records = []
    try:
        for line in file.read_text().splitlines() if file.is_file() else ():
            record = json.loads(line)
            while records and records[-1]["iteration"] > record["iteration"]:
                records.pop()
            if records and records[-1]["iteration"] == record["iteration"]:
                record = {**records.pop(), **record}
            records.append(record)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} has a line that is no record of a training ({error!r}): remove it") from error
    return records
