"""Whether a config has GDNorm depends on its meta-architecture's class, not on its name."""

import pytest
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY, Baseline

from fastreid_gdnorm.modeling import GDNormTraining, is_gdnorm
from fastreid_gdnorm.runs.methods import method


class Debiased(GDNormTraining, Baseline):
    """A user's meta-architecture, whose name does not mention GDNorm."""


class GDNormless(Baseline):
    """A stock meta-architecture with a misleading name."""


@pytest.mark.parametrize("kind, expected", [(Debiased, True), (GDNormless, False), (Baseline, False)])
def test_the_class_counts_and_not_the_name(tiny, monkeypatch, kind, expected):
    monkeypatch.setitem(META_ARCH_REGISTRY._obj_map, kind.__name__, kind)
    cfg = tiny("gdnorm", "MODEL.META_ARCHITECTURE", kind.__name__)
    assert is_gdnorm(cfg) is expected
    assert method(cfg) == ("gdnorm" if expected else "balanced")
