"""The table of benchmarks/upstream/upstream.py. Its scripts are in a checkout of upstream, which tests do not need."""

import importlib.util
import re
import sys

import pytest
from fastreid.config import get_cfg

from .conftest import REPOSITORY

OF_PROJECTS = {
    "MODEL.LOSSES.BCE.WEIGHT_ENABLED": True,
    "MODEL.HEADS.PFC.ENABLED": False,
    "DATASETS.REC_PATH": "any",
    "TEST.DSR.ENABLED": True,
}


@pytest.fixture
def benchmark(monkeypatch):
    def load(name):
        file = REPOSITORY / f"projects/GDNorm/benchmarks/upstream/{name}.py"
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_every_override_of_upstreams_scripts_is_a_config_key_of_the_right_type(benchmark):
    cfg = get_cfg()
    cfg.set_new_allowed(True)
    for key, value in OF_PROJECTS.items():
        cfg.merge_from_other_cfg(nested(key, value))
    cfg.set_new_allowed(False)
    runs = [
        words.format(out="out", gdnorm=case.gdnorm)
        for case in benchmark("upstream_cases").PROJECTS
        for words in case.runs
    ]
    for words in runs:
        overrides = re.search(r"\b[A-Z]+\.[A-Z_]+.*", words)[0].replace(" ''", " nothing").split()
        cfg.clone().merge_from_list(overrides)


def nested(key, value):
    first, _, rest = key.partition(".")
    return type(get_cfg())({first: nested(rest, value) if rest else value})


def test_stock_readers_read_the_images_drawn_for_upstreams_scripts(benchmark, tmp_path):
    from fastreid.data.datasets import DATASET_REGISTRY

    data = benchmark("upstream_data")
    data.draw_all(tmp_path)
    for name in ("Market1501", "DukeMTMC"):
        read = DATASET_REGISTRY.get(name)(root=str(tmp_path))
        counts = [len(part) for part in (read.train, read.query, read.gallery)]
        assert counts == [data.PEOPLE * data.EACH, data.PEOPLE, data.PEOPLE * data.EACH]
