"""Runs first in every process of an upstream script: loads the plugin or its patches, adds stand-ins, records numbers.

upstream.py sets UPSTREAM_WAY to "patched" (only ``fastreid_gdnorm.patches``), "beside" (``import fastreid_gdnorm``) or
"gdnorm", which also mixes GDNorm into the meta-architecture that UPSTREAM_MIXIN names. Logged numbers are also written
to the file UPSTREAM_NUMBERS. Where fast-reid would choose a random seed, it uses 0.
"""

import collections.abc
import importlib
import importlib.util
import json
import os
import sys
import types
import unittest
from pathlib import Path

WAY = os.environ["UPSTREAM_WAY"]
UNREPEATABLE = ("time", "data_time", "eta_seconds")


def begin():
    import_plugin()
    from fastreid.config.defaults import _C
    from fastreid.engine import defaults
    from fastreid.utils.events import EventStorage

    seed, put = defaults.seed_all_rng, EventStorage.put_scalar

    def put_scalar(self, name, value, smoothing_hint=True):
        if name not in UNREPEATABLE:
            with open(os.environ["UPSTREAM_NUMBERS"], "a") as file:
                file.write(json.dumps([name, float(value)]) + "\n")
        put(self, name, value, smoothing_hint)

    defaults.seed_all_rng = lambda value=None: seed(0 if value is None else value)
    EventStorage.put_scalar = put_scalar
    _C.SOLVER.setdefault("FREEZE_FC_ITERS", 0)  # NAIC20 and FastTune use this key, which fast-reid has dropped
    stand_in()
    if WAY == "gdnorm" and os.environ.get("UPSTREAM_MIXIN"):
        mix_in(*os.environ["UPSTREAM_MIXIN"].split(":"))


def import_plugin():
    if WAY != "patched":
        importlib.import_module("fastreid_gdnorm")
        return
    package = sys.modules["fastreid_gdnorm"] = types.ModuleType("fastreid_gdnorm")  # registers nothing
    package.__path__ = [str(Path(__file__).resolve().parents[4] / "fastreid_gdnorm")]
    importlib.import_module("fastreid_gdnorm.patches").apply_patches()


def mix_in(module, name):
    """Register GDNorm<name> as the README describes."""
    from fastreid.modeling.meta_arch import META_ARCH_REGISTRY

    from fastreid_gdnorm.modeling import GDNormTraining

    stock = getattr(importlib.import_module(module), name)
    META_ARCH_REGISTRY.register(type(f"GDNorm{name}", (GDNormTraining, stock), {}))


def stand_in():
    """Replace what upstream imports but is missing here by small modules: packages, a file, faiss for GPUs."""
    _stand_in("mat4py", loadmat=_loadmat)
    _stand_in("bcolz", carray=_carray)
    _stand_in("ipdb", set_trace=_Breakpoint())
    _stand_in("torch._six", container_abcs=collections.abc)
    if not Path("projects/FastClas/fastclas/distracted_driver.py").is_file():
        sys.modules["fastclas.distracted_driver"] = types.ModuleType("fastclas.distracted_driver")
    faiss = importlib.import_module("faiss")
    if not hasattr(faiss, "StandardGpuResources"):
        faiss.StandardGpuResources, faiss.GpuIndexFlatConfig = types.SimpleNamespace, types.SimpleNamespace
        faiss.GpuIndexFlatIP = lambda resources, dimensions, config: faiss.IndexFlatIP(dimensions)


def _stand_in(name, **contents):
    if importlib.util.find_spec(name) is None:
        module = sys.modules[name] = types.ModuleType(name)
        vars(module).update(contents)


def _loadmat(file):
    from scipy.io import loadmat

    def plain(value):
        return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else list(value)

    return {key: plain(value) for key, value in loadmat(file, simplify_cells=True).items() if key[0] != "_"}


def _carray(rootdir, mode):
    import numpy

    return numpy.load(Path(rootdir) / "images.npy")


class _Breakpoint:
    """``ipdb.set_trace`` that continues three times and then skips the test, which waits in an endless loop."""

    def __init__(self):
        self._left = 3

    def __call__(self):
        if not self._left:
            raise unittest.SkipTest("a breakpoint in an endless loop")
        self._left -= 1


begin()
