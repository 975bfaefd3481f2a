"""An error during a test does not lose the trained epoch."""

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.engine.hooks import PeriodicCheckpointer, PeriodicWriter

from ..conftest import training
from ..runs import one_and_two  # noqa: F401  registers build_small_backbone
from ..runs.toy import metrics, one_line

SMALL = "MODEL.BACKBONE.FEAT_DIM 32 MODEL.GDNORM.BACKBONE build_small_backbone".split()


@pytest.fixture
def query(station):
    """A query that is neither the first nor the last."""
    return sorted((station / "query").glob("*.jpg"))[1]


@pytest.mark.parametrize("config, period, lost", [("gdnorm", 1, "first"), ("baseline", 3, "last")])
def test_an_unreadable_query_does_not_lose_the_trained_epoch(query, tmp_path, config, period, lost, fastreid_here):
    backbone = "build_gdnorm_backbone" if config == "gdnorm" else "build_small_backbone"
    words = [*SMALL, "MODEL.BACKBONE.NAME", backbone, "TEST.EVAL_PERIOD", period, "SOLVER.CHECKPOINT_PERIOD", 2]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert fastreid_here(*training(unbroken, config=config, overrides=words)).returncode == 0

    image = query.read_bytes()
    query.write_bytes(image[:200])
    for flags in [], ["--resume"]:  # the resumed run starts with the test
        line = one_line(fastreid_here(*training(broken, *flags, config=config, overrides=words)))
        assert f"cannot read image {query}" in line
        assert (broken / "last_checkpoint").read_text() == "model_untested.pth"
        saved = torch.load(broken / "model_untested.pth", weights_only=True)
        assert saved["epoch"] == {"first": 0, "last": 1}[lost] and saved["optimizer"]["state"]

    query.write_bytes(image)
    resumed = fastreid_here(*training(broken, "--resume", config=config, overrides=words))
    assert resumed.returncode == 0, resumed.stderr
    assert metrics(broken) == metrics(unbroken)
    assert sorted(file.name for file in broken.glob("*.pth")) == sorted(file.name for file in unbroken.glob("*.pth"))
    ours, theirs = (torch.load(folder / "model_final.pth", weights_only=True) for folder in (broken, unbroken))
    assert all(torch.equal(ours["model"][name], values) for name, values in theirs["model"].items())
    assert (broken / "last_checkpoint").read_text() == "model_final.pth"


@pytest.mark.parametrize("seed", [-1, 0])
def test_the_list_of_hooks_ends_as_in_stock(tiny, seed):
    """A derived trainer can still put its hooks before the last one, the writer: ``hooks.insert(-1, hook)``."""
    trainer = DefaultTrainer(tiny("baseline", *SMALL, "MODEL.BACKBONE.NAME", "build_small_backbone", "SEED", seed))
    assert [type(hook) for hook in trainer._hooks[-2:]] == [PeriodicCheckpointer, PeriodicWriter]
