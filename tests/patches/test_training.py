"""Patches of fast-reid's optimizer, trainer, images of a batch and logged metrics."""

import json
import os

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.events import CommonMetricPrinter, EventStorage

from fastreid_gdnorm.errors import UserError


@pytest.mark.long
def test_stock_configs_train_resume_and_evaluate(tiny):
    cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "1")
    assert (cfg.MODEL.META_ARCHITECTURE, cfg.DATALOADER.SAMPLER_TRAIN) == ("Baseline", "NaiveIdentitySampler")
    assert ("cuda" if torch.cuda.is_available() else "cpu") == cfg.MODEL.DEVICE
    DefaultTrainer(cfg).train()
    cfg.SOLVER.MAX_EPOCH = 2
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_epoch == 1
    results = trainer.train()
    assert 0 < results["mAP"] <= 100
    fresh = DefaultTrainer.build_model(cfg)
    Checkpointer(fresh).load(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    assert DefaultTrainer.test(cfg, fresh)["mAP"] == results["mAP"]


def test_the_flat_optimizer_steps_as_torchs_own_does(tiny):
    cfg = tiny("baseline", "SOLVER.BASE_LR", "0.1", "SOLVER.OPT", "SGD", "SOLVER.MOMENTUM", "0.5")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
    reference = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
    reference.load_state_dict(model.state_dict())
    ours, _ = build_optimizer(cfg, model)
    theirs = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.5, weight_decay=cfg.SOLVER.WEIGHT_DECAY)
    for _ in range(3):
        x = torch.randn(6, 5)
        for optimizer, net in ((ours, model), (theirs, reference)):
            loss = net(x).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for mine, own in zip(model.parameters(), reference.parameters()):
        assert torch.allclose(mine, own, atol=1e-6)


def test_amp_without_cuda_is_refused_at_once(tiny):
    with pytest.raises(UserError, match="SOLVER.AMP.ENABLED needs CUDA.*set SOLVER.AMP.ENABLED False"):
        DefaultTrainer(tiny("baseline", "SOLVER.AMP.ENABLED", "True", "MODEL.DEVICE", "cpu"))


def test_images_are_normalised_once_however_often_the_model_is_called(tiny):
    model = build_model(tiny("baseline", "MODEL.HEADS.NUM_CLASSES", "4")).eval()
    batch = {"images": torch.rand(2, 3, 32, 16) * 255}
    before = batch["images"].clone()
    with torch.no_grad():
        first, second = model(batch), model(batch)
        from_tensor = model(batch["images"])
    assert torch.equal(first, second) and torch.equal(first, from_tensor)
    assert torch.equal(batch["images"], before)


def test_metrics_can_be_written_twice_at_one_iteration():
    printer = CommonMetricPrinter(max_iter=100)
    with EventStorage(start_iter=2) as storage:
        storage.epoch = 0
        storage.put_scalar("total_loss", 1.0)
        printer.write()
        printer.write()


@pytest.mark.long
def test_the_last_test_reaches_the_metrics_file_whenever_it_is(tiny):
    for period in ("2", "3"):  # a test after the last epoch, and a test after training
        cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "4", "TEST.EVAL_PERIOD", period)
        results = DefaultTrainer(cfg).train()
        with open(os.path.join(cfg.OUTPUT_DIR, "metrics.json")) as file:
            last = [line for line in map(json.loads, file) if "mAP" in line][-1]
        assert (last["iteration"], last["mAP"]) == (4 * 6, results["mAP"])
