"""FREEZE_LAYERS and FREEZE_ITERS: tests and interruptions change nothing in what is frozen, and for how long."""

import shutil

import pytest
from fastreid.engine import DefaultTrainer

from ..runs import one_and_two  # noqa: F401  registers build_small_backbone
from ..runs.toy import losses

# 6 steps an epoch: frozen when the first epoch is tested and saved, and two steps longer
SMALL = "MODEL.BACKBONE.FEAT_DIM 32 MODEL.GDNORM.BACKBONE build_small_backbone".split()
FROZEN = "MODEL.FREEZE_LAYERS ['backbone'] SOLVER.FREEZE_ITERS 8 SEED 3 SOLVER.BASE_LR 0.01".split()


@pytest.mark.parametrize(
    "config, backbone", [("gdnorm", "build_gdnorm_backbone"), ("baseline", "build_small_backbone")]
)
def test_a_run_that_is_looked_at_or_resumed_while_layers_are_frozen_trains_as_any_other(
    tiny, tmp_path, config, backbone
):
    def train(name, *overrides, resume=False):
        cfg = tiny(
            config, *SMALL, "MODEL.BACKBONE.NAME", backbone, *FROZEN, *overrides, "OUTPUT_DIR", str(tmp_path / name)
        )
        trainer = DefaultTrainer(cfg)
        trainer.resume_or_load(resume)
        trainer.train()
        return losses(tmp_path / name)

    whole = train("seldom", "TEST.EVAL_PERIOD", "2")
    assert train("often") == whole
    (tmp_path / "resumed").mkdir()
    for file in ("model_0000.pth", "metrics.json"):
        shutil.copy(tmp_path / "often" / file, tmp_path / "resumed")
    (tmp_path / "resumed/last_checkpoint").write_text("model_0000.pth")
    assert train("resumed", resume=True) == whole
