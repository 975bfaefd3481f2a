"""Tables of people_rows.py's records: differences are paired, and ± is half of their 95 % interval.

For a few targets the interval comes from bootstrap resamples of people, for many from the targets themselves (t).
"""

from collections import defaultdict

import numpy as np
from benchmarks.shared.pages import label
from tabulate import tabulate

from fastreid_gdnorm.evaluation import interval

MANY = 6  # from this number of targets on, the interval is taken over targets


class Results:
    """The records of some rows, indexed by row, group, target and path.

    Every value is an array: the mAP, then the mAP of each bootstrap resample of the target's people. Values are
    averaged over seeds, and over targets if there are several; each target's people are resampled independently.
    """

    def __init__(self, records):
        found = defaultdict(list)
        for record in records:
            own = record["path"] in ("as trained", "mean:affine")
            for path in (label(record["path"], record["n"]), *([""] if own else [])):
                key = record["row"], record["group"], record["target"], path
                found[key].append((record["seed"], np.array([record["mAP"], *record["resampled"]])))
        self._found = {key: dict(of_seeds) for key, of_seeds in found.items()}
        self.trained = defaultdict(list)
        for record in records:
            self.trained[record["row"], record["group"]].append(record["trained"])

    def value(self, row, path, places, other=None):
        """A row's value along ``path``, averaged over ``places`` = [(group, target)]; None if one is missing.

        Args:
            other: (row, path) whose value is subtracted, seed by seed.
        """
        values = self._of_each(row, path, places, other)
        return None if values is None else np.mean(values, axis=0)

    def _of_each(self, row, path, places, other):
        values = []
        for group, target in places:
            own = self._found.get((row, group, target, path))
            against = self._found.get((other[0], group, target, other[1])) if other else None
            seeds = [seed for seed in own or () if other is None or seed in (against or ())]
            if not seeds:
                return None
            values.append(np.mean([own[seed] - (against[seed] if other else 0) for seed in seeds], axis=0))
        return np.array(values)

    def cell(self, row, path, places, other=None):
        """The text of a table cell for :meth:`value`."""
        values = self._of_each(row, path, places, other)
        if values is None or (row, path) == other:
            return ""
        value = values.mean(0)
        if not other:
            return f"{value[0]:.2f}"
        half = interval(values[:, 0])[1] if len(places) >= MANY else 1.96 * value[1:].std()
        return f"{value[0]:+.2f} ± {half:.2f}"

    def rows(self):
        return list(dict.fromkeys(row for row, *_ in self._found))


def table(headers, rows):
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)
