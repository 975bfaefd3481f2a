"""The configs, batches and checkpoints that GDNormBaseline refuses."""

import copy
import logging
import os

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from fastreid.utils.checkpoint import Checkpointer

from fastreid_gdnorm.errors import UserError

from .conftest import K


def test_a_batch_without_domains_says_which_loader_to_use(model, batch):
    del batch["domains"]
    with pytest.raises(UserError, match="no 'domains'.*build_reid_train_loader.*DomainBalancedIdentitySampler"):
        model().train()(batch)


@pytest.mark.parametrize(
    "overrides, said",
    [
        *(
            (["MODEL.GDNORM.TEST_PATH", path], f"TEST_PATH must be mean, .*sample:SEED, source:0 .*; got '{path}'")
            for path in ("source:3", "source:x", "nowhere", "sample", "mean:1", "posterior:", "instance:2")
        ),
        *(
            (
                ["MODEL.GDNORM.TEST_PATH", f"weighted:{weights}"],
                "must have 3 numbers, a weight for each source, 0 or more",
            )
            for weights in ("0.5,0.5", "1,1,1", "-1,1,1", "a,b,c", "")
        ),
        (
            ["MODEL.GDNORM.TEST_PATH", "posterior:nowhere.npz"],
            "posterior nowhere.npz does not exist: create it with fastreid",
        ),
        (["MODEL.GDNORM.MEAN_OF", "median"], "MEAN_OF must be one of affine, statistics, path; got 'median'"),
        (["MODEL.GDNORM.NOISE", "sigma"], "MODEL.GDNORM.NOISE must be variance or std; got 'sigma'"),
        (["MODEL.GDNORM.NUM_PATHS", "-1"], "NUM_PATHS must be 0 or more; got -1"),
        (["TEST.PRECISE_BN.ENABLED", "True"], "SOLVER.HOOKS to .'DomainPreciseBN',."),
        (
            ["MODEL.BACKBONE.NORM", "GhostBN"],
            "GDNormBaseline's backbone .MobileNetV2. cannot be converted to GDNorm.*GhostBatchNorm",
        ),
        (
            "MODEL.GDNORM.BACKBONE build_vit_backbone MODEL.BACKBONE.DEPTH small MODEL.BACKBONE.PRETRAIN False".split(),
            "cannot be converted to GDNorm.*no BatchNorm2d",
        ),
    ],
)
def test_invalid_configs_are_refused_in_one_line(model, overrides, said):
    with pytest.raises(UserError, match=said) as caught:
        model(*overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "domains, said",
    [
        ([0] * 11 + [2], r"numbers of images by domain in a training batch are \{0: 11, 2: 1\}"),
        ([0] * 10 + [2] * 2, r"numbers of identities by domain in a training batch are \{0: 5, 2: 1\}"),
    ],
)
def test_a_batch_with_one_image_or_identity_of_a_domain_says_what_to_set(model, batch, domains, said):
    batch["domains"] = torch.tensor(domains)
    with pytest.raises(UserError, match=f"{said}.*DomainBalancedIdentitySampler"):
        model().train()(batch)


def test_a_checkpoint_with_another_k_is_refused_and_a_stock_one_fills_every_branch(model, tiny, tmp_path):
    Checkpointer(model(), str(tmp_path)).save("three")
    two = build_model(tiny("gdnorm", "DATASETS.NAMES", "('RenderedMall','RenderedCampus')"))
    with pytest.raises(
        UserError, match="three.pth does not fit.*has 3 branches in backbone.features.0.1, this model has 2"
    ):
        Checkpointer(two).load(str(tmp_path / "three.pth"))

    stock = build_model(tiny("baseline", "MODEL.HEADS.NUM_CLASSES", "6"))
    Checkpointer(stock, str(tmp_path)).save("stock")
    net = model()
    Checkpointer(net).load(os.path.join(tmp_path, "stock.pth"))
    for k in range(K):
        assert torch.equal(
            net.backbone.features[1].conv[1].branches[k].weight, stock.backbone.features[1].conv[1].weight
        )


def test_a_layer_with_another_width_in_a_stock_checkpoint_is_skipped_with_a_warning(
    model, tiny, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    stock = build_model(tiny("baseline", "MODEL.HEADS.NUM_CLASSES", "6"))
    state = stock.state_dict()
    for name in ("weight", "bias", "running_mean", "running_var"):
        state[f"backbone.features.1.conv.1.{name}"] = torch.zeros(5)
    torch.save({"model": state}, tmp_path / "wider.pth")
    net = model()
    before = copy.deepcopy(net.backbone.features[1].conv[1].state_dict())
    Checkpointer(net).load(str(tmp_path / "wider.pth"))
    assert "Skip loading parameter 'backbone.features.1.conv.1.branches.2.weight'" in caplog.text
    same = {
        key: torch.equal(before[key], value) for key, value in net.backbone.features[1].conv[1].state_dict().items()
    }
    assert all(equal for key, equal in same.items() if "num_batches" not in key)
    assert torch.equal(net.backbone.features[1].conv[4].branches[2].weight, stock.backbone.features[1].conv[4].weight)
