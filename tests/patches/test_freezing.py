"""FREEZE_LAYERS and FREEZE_ITERS: tests and interruptions do not change which layers are frozen, or for how long."""

import shutil

import pytest
from fastreid.engine import DefaultTrainer

from ..runs import one_and_two  # noqa: F401  registers build_small_backbone
from ..runs.toy import losses

# an epoch has 6 steps: the layers stay frozen for two steps after the first epoch's test and checkpoint
SMALL = "MODEL.BACKBONE.FEAT_DIM 32 MODEL.GDNORM.BACKBONE build_small_backbone".split()
FROZEN = "MODEL.FREEZE_LAYERS ['backbone'] SOLVER.FREEZE_ITERS 8 SEED 3 SOLVER.BASE_LR 0.01".split()


@pytest.mark.parametrize(
    "config, backbone", [("gdnorm", "build_gdnorm_backbone"), ("baseline", "build_small_backbone")]
)
def test_a_test_or_a_resume_while_layers_are_frozen_changes_no_loss(tiny, tmp_path, config, backbone):
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
