"""Tests the models of evidence.py on all targets."""

from functools import partial
from typing import ClassVar

from benchmarks.adapting.posterior_tests import DRAWS, Target, Tests
from benchmarks.does_it_work.evidence_rows import TARGETS

from fastreid_gdnorm.modeling.path_names import parse_test_path
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_folder import load_run_config

MEANS = ("mean:affine", "mean:statistics", "mean:path")
SITE_IMAGES = 16
SAMPLES = 3


class Evidence(Tests):
    """Tests one model on all targets. The targets' images stay in memory for all models."""

    targets: ClassVar[dict[str, Target]] = {}

    def test(self, all_paths):
        """Test as trained or along the mean paths, and along the posterior; with ``all_paths`` along the others too."""
        for target in self._each_target():
            if self._stock is not None:
                self._record(target, "as trained", partial(target, self._stock))
            images = target.images("random", SITE_IMAGES)
            self._record(target, "posterior", partial(self._by, self._posterior, target, images), SITE_IMAGES)
            for path in self._paths(all_paths):
                self._record(target, path, partial(self._fixed_along, target, path))
            if all_paths:
                self._record(target, "by camera", partial(self._by_camera, target), max(DRAWS))

    def _each_target(self):
        for name in TARGETS:
            if name not in self.targets:
                self.targets[name] = Target(self._cfg, name)
            yield self.targets[name]

    def _paths(self, all_of_them):
        if self._stock is not None:
            return ["instance"] if all_of_them else []
        sources = [f"source:{k}" for k in range(len(self._cfg.DATASETS.NAMES))]
        samples = [f"sample:{seed}" for seed in range(SAMPLES)]
        return [*MEANS, *(["instance", "weighted", "ensemble", *sources, *samples] if all_of_them else [])]

    def _fixed(self, path):
        return parse_test_path(path, self._cfg) if path.startswith(("source", "sample")) else super()._fixed(path)


class AsTrained(Evidence):
    """Tests a model whose BN cannot have branches."""

    def __init__(self, run, file, device):
        self._open(file)
        self._cfg = load_run_config(run, device)
        self._stock = load_model(self._cfg)

    def test(self, all_paths):
        for target in self._each_target():
            self._record(target, "as trained", partial(target, self._stock))
