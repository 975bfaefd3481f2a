"""Any RenderedDraw<seed> is a registered data set."""

import pytest
from fastreid.data.datasets import DATASET_REGISTRY

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.rendered import draw_style
from fastreid_gdnorm.runs.run_config import load_config


def test_a_config_can_name_any_drawn_domain():
    cfg = load_config(
        "projects/GDNorm/configs/demo/gdnorm.yml", ["DATASETS.NAMES", "('RenderedDraw3','RenderedDraw12')"]
    )
    assert cfg.DATASETS.NAMES == ("RenderedDraw3", "RenderedDraw12")
    domain = DATASET_REGISTRY.get("RenderedDraw12")
    assert domain is DATASET_REGISTRY.get("RenderedDraw12") and domain.style == draw_style(12)
    assert domain.plan.test_ids == 300, "each with two queries"
    small = DATASET_REGISTRY.get("RenderedSmallDraw12")
    assert small.style == domain.style and small.plan.test_ids == 40, "the same look, fewer people"
    for wrong in ("RenderedDraw", "RenderedDraw012", "RenderedDraw-1", "RenderedDrawn"):
        assert wrong not in DATASET_REGISTRY._obj_map
        with pytest.raises(KeyError, match="No object named"):
            DATASET_REGISTRY.get(wrong)
    with pytest.raises(UserError, match="did you mean RenderedDraw12"):
        load_config("projects/GDNorm/configs/demo/gdnorm.yml", ["DATASETS.TESTS", "('RenderDraw12',)"])
