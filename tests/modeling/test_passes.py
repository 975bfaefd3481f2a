"""GDNormBaseline: the losses of a training step, and the paths of tests."""

import copy
from collections import Counter

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.modeling.meta_arch import Baseline
from fastreid.utils.events import EventStorage
from torch import nn

from fastreid_gdnorm.layers import (
    DomainPath,
    GDNorm,
    MeanPath,
    PooledPath,
    PosteriorPath,
    SampledPath,
    SourcePath,
    fold_gdnorm,
    follow,
    gdnorm_layers,
)
from fastreid_gdnorm.modeling import GDNormTraining
from fastreid_gdnorm.modeling.batches import balanced

from .conftest import NEAR, K


def test_a_step_is_the_domain_path_plus_the_average_of_the_sampled_paths(model, batch):
    net = model("MODEL.GDNORM.NUM_PATHS", "2").train()
    state = copy.deepcopy(net.state_dict())
    stock_forward = type(net).__mro__[2].forward  # Baseline's own
    with EventStorage() as storage:
        torch.manual_seed(7)
        losses = net(batch)
        logged = storage.latest()
        moved = copy.deepcopy(net.state_dict())
        net.load_state_dict(state)
        with EventStorage() as of_domain_path, follow(net, DomainPath(batch["domains"])):
            expected = stock_forward(net, batch)
        assert set(logged) == {"cls_accuracy", "cls_accuracy_path", "largest_a_path"}
        assert logged["cls_accuracy"] == of_domain_path.latest()["cls_accuracy"], "that of the domain path alone"
        torch.manual_seed(7)
        accuracies, largest = [], []
        for _ in range(2):
            path = SampledPath(0.6, "variance")
            with follow(net, path), EventStorage() as of_path:
                for name, loss in stock_forward(net, batch).items():
                    expected[name + "_path"] = expected.get(name + "_path", 0) + loss / 2
            accuracies.append(of_path.latest()["cls_accuracy"][0])
            largest.append(path.largest_a.item())
        assert logged["cls_accuracy_path"][0] == pytest.approx(sum(accuracies) / 2)
        assert logged["largest_a_path"][0] == pytest.approx(sum(largest) / 2)
    assert set(losses) == {"loss_cls", "loss_triplet", "loss_cls_path", "loss_triplet_path"} == set(expected)
    for name in losses:
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=NEAR)
    assert all(torch.equal(moved[key], value) for key, value in net.state_dict().items()), (
        "only the domain path updates them"
    )
    assert any(not torch.equal(state[key], moved[key]) for key in state if "running_mean" in key)


@pytest.mark.parametrize("early", ["False", "True"])
def test_full_batches_run_one_domain_at_a_time_and_sampled_paths_take_a_balanced_part(model, full_batch, early):
    full = ["DATALOADER.DOMAIN_BATCH", "full", "MODEL.GDNORM.EARLY_GRADIENTS", early, "MODEL.HEADS.NUM_CLASSES", "12"]
    net = model(*full).train()
    state = copy.deepcopy(net.state_dict())
    stock_forward, sizes = type(net).__mro__[2].forward, []
    handle = net.backbone.features[0][0].register_forward_pre_hook(lambda layer, args: sizes.append(len(args[0])))
    with EventStorage() as storage:
        torch.manual_seed(7)
        losses = net(full_batch)
        sum(losses.values()).backward()
        logged = storage.latest()["cls_accuracy"][0]
    handle.remove()
    assert sizes == [8] * 4, "three domains, and the sampled path"
    moved, gradient = copy.deepcopy(net.state_dict()), net.backbone.features[0][0].weight.grad.clone()
    net.load_state_dict(state)
    net.zero_grad()

    expected, accuracies = {}, []
    for k in range(K):
        own = full_batch["domains"] == k
        part = {"images": full_batch["images"][own], "targets": full_batch["targets"][own]}
        with EventStorage() as of_domain, follow(net, DomainPath(torch.full((8,), k))):
            for name, loss in stock_forward(net, part).items():
                expected[name] = expected.get(name, 0) + loss / K
        accuracies.append(of_domain.latest()["cls_accuracy"][0])
    assert logged == pytest.approx(sum(accuracies) / K)
    for key, value in net.state_dict().items():
        assert torch.allclose(moved[key], value, rtol=NEAR, atol=NEAR), "statistics are updated once"
    torch.manual_seed(7)
    part = balanced(full_batch)
    with EventStorage(), follow(net, SampledPath(0.6, "variance")):
        expected.update({f"{name}_path": loss for name, loss in stock_forward(net, part).items()})
    assert set(losses) == set(expected)
    for name in expected:
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=NEAR)
    sum(expected.values()).backward()
    difference = (net.backbone.features[0][0].weight.grad - gradient).norm()
    assert difference < NEAR * gradient.norm()


def test_a_balanced_part_has_whole_identities_of_every_domain_and_the_remainder_rotates(full_batch):
    odd = set()
    for seed in range(20):
        torch.manual_seed(seed)
        part = balanced(full_batch)
        counts = Counter(part["targets"].tolist())
        assert len(part["images"]) == 8 and set(counts.values()) == {2}
        of_domains = Counter(target // 4 for target in counts)
        assert sorted(of_domains.values()) == [1, 1, 2]
        dealt = [[t for t in dict.fromkeys(full_batch["targets"].tolist()) if t // 4 == k] for k in range(K)]
        places = {dealt[target // 4].index(target) for target in counts}
        assert places == {0, 1, 2, 3}, "so that processes get equally many"
        odd.add(max(of_domains, key=of_domains.get))
        for image, target, domain, path in zip(*(part[key] for key in ("images", "targets", "domains", "img_paths"))):
            row = next(i for i, other in enumerate(full_batch["images"]) if torch.equal(image, other))
            assert target == full_batch["targets"][row] and domain == full_batch["domains"][row]
            assert path == full_batch["img_paths"][row]
    assert odd == {0, 1, 2}


def test_training_discards_the_mean_paths_own_statistics(model, batch):
    net = model("MODEL.GDNORM.MEAN_OF", "path").eval()
    pooled = PooledPath()
    net.embed(batch, [pooled])
    pooled.keep()
    with torch.no_grad():
        net(batch)
    net.load_state_dict({"heads.weight": net.heads.weight.detach()}, strict=False)
    assert net.backbone.features[0][1].path_mean is not None, "keys that are not loaded stay"
    with EventStorage():
        net.train()(batch)
    assert not any("path_" in key for key in net.state_dict()), "the weights have changed"


def test_without_sampled_paths_only_stock_losses_remain(model, batch):
    with EventStorage():
        assert set(model("MODEL.GDNORM.NUM_PATHS", "0").train()(batch)) == {"loss_cls", "loss_triplet"}


def test_heads_get_branches_only_on_request(model):
    assert isinstance(model().heads.bottleneck[0], GDNorm)
    plain = model("MODEL.GDNORM.HEADS", "False")
    assert isinstance(plain.heads.bottleneck[0], nn.BatchNorm2d) and isinstance(plain.backbone.features[0][1], GDNorm)
    frozen = [bn.bias.requires_grad for bn in model().heads.bottleneck[0].branches]
    assert frozen == [False] * K, "the neck's biases stay frozen"


def test_every_test_path_gives_its_own_features(model, batch):
    def features(path):
        with torch.no_grad():
            return model("MODEL.GDNORM.TEST_PATH", path).eval()(batch)

    sources = [features(f"source:{k}") for k in range(K)]
    net = model().eval()
    for k in range(K):
        with torch.no_grad(), follow(net, DomainPath(torch.full((12,), k))):
            assert torch.allclose(net.embed(batch, [SourcePath(k)]), sources[k], rtol=NEAR, atol=NEAR)
    assert torch.allclose(features("ensemble"), torch.stack(sources).mean(0), rtol=NEAR, atol=NEAR)
    assert torch.equal(features("sample:5"), features("sample:5"))
    assert not torch.equal(features("sample:5"), features("sample:6"))
    assert not torch.equal(features("mean"), sources[0])
    of_statistics = model("MODEL.GDNORM.MEAN_OF", "statistics").eval()
    with torch.no_grad():
        assert torch.equal(of_statistics(batch), of_statistics.embed(batch, [MeanPath("statistics")]))
        assert not torch.equal(of_statistics(batch), features("mean"))


def test_a_model_folded_along_its_test_path_behaves_like_the_stock_one(model, batch):
    net = model().eval()
    for layer in gdnorm_layers(net).values():
        layer.branches[0].running_mean.add_(0.1)
    net.test_paths = (PosteriorPath.from_images(net, batch),)
    with torch.no_grad():
        expected = net(batch)
        folded = fold_gdnorm(net, net.test_paths[0])
        assert torch.allclose(folded(batch), expected, rtol=NEAR, atol=NEAR)
    with EventStorage():
        assert set(folded.train()(batch)) == {"loss_cls", "loss_triplet"}


def test_a_head_without_a_neck_needs_no_branches(model, batch):
    net = model("MODEL.HEADS.WITH_BNNECK", "False").train()
    with EventStorage():
        assert "loss_cls_path" in net(batch)


def test_a_users_meta_architecture_may_normalise_images_in_place(model, batch, tiny):
    class Mine(Baseline):
        def preprocess_image(self, batched_inputs):
            return batched_inputs["images"].sub_(self.pixel_mean).div_(self.pixel_std)

    class GDNormMine(GDNormTraining, Mine):
        pass

    net, seen = GDNormMine(tiny("gdnorm", "MODEL.HEADS.NUM_CLASSES", "6")).double().train(), []
    net.backbone.features[0][0].register_forward_hook(lambda layer, args, out: seen.append(args[0]))
    with EventStorage():
        net(batch)
    assert len(seen) == 2 and torch.equal(*seen)


def test_any_backbone_of_the_registry_works_and_so_does_mgn(model, batch):
    osnet = "MODEL.GDNORM.BACKBONE build_osnet_backbone MODEL.BACKBONE.DEPTH x0_25 MODEL.BACKBONE.FEAT_DIM 128".split()
    resnet = "MODEL.GDNORM.BACKBONE build_resnet_backbone MODEL.BACKBONE.DEPTH 50x MODEL.BACKBONE.FEAT_DIM 2048".split()
    untrained = ["MODEL.BACKBONE.PRETRAIN", "False"]
    with EventStorage():
        assert all(torch.isfinite(loss) for loss in model(*osnet, *untrained).train()(batch).values())
        mgn = ["MODEL.META_ARCHITECTURE", "GDNormMGN", "MODEL.BACKBONE.LAST_STRIDE", "2", "INPUT.SIZE_TRAIN", "[96,32]"]
        net = model(*mgn, *resnet, *untrained).train()
        batch["images"] = torch.nn.functional.interpolate(batch["images"], (96, 32))
        losses = net(batch)
        assert "loss_triplet_b33_path" in losses and isinstance(net.b21_head.bottleneck[0], GDNorm)


def test_gradient_clipping_of_the_stock_trainer_works(tiny):
    cfg = tiny("gdnorm", "SOLVER.CLIP_GRADIENTS.ENABLED", "True", "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", "1e-4")
    cfg.SOLVER.MAX_EPOCH, cfg.SOLVER.OPT = 1, "SGD"
    cfg.SOLVER.WEIGHT_DECAY = cfg.SOLVER.WEIGHT_DECAY_NORM = cfg.SOLVER.WEIGHT_DECAY_BIAS = 0.0
    trainer = DefaultTrainer(cfg)
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    trainer.train()
    moved = [(p - before[name]).abs().max().item() for name, p in trainer.model.named_parameters()]
    assert 0 < max(moved) < 1e-6
