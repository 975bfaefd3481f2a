"""convert, fold and reload on every backbone of fast-reid."""

import copy

import pytest
import torch
from fastreid.config import get_cfg
from fastreid.layers import get_norm
from fastreid.modeling.backbones import build_backbone
from torch import nn

from fastreid_gdnorm.layers import DomainPath, GDNorm, SourcePath, add_branch, convert_gdnorm, fold_gdnorm, follow

K = 3
NEAR = 1e-10  # relative to the largest feature

# name: (builder, depth, other keys of MODEL.BACKBONE)
BACKBONES = {
    "resnet": ("build_resnet_backbone", "18x", {}),
    "resnet50": ("build_resnet_backbone", "50x", {}),
    "resnet_ibn": ("build_resnet_backbone", "18x", {"WITH_IBN": True}),
    "resnet_se": ("build_resnet_backbone", "18x", {"WITH_SE": True}),
    "resnet_nl": ("build_resnet_backbone", "50x", {"WITH_NL": True}),
    "resnest": ("build_resnest_backbone", "50x", {}),
    "resnext": ("build_resnext_backbone", "50x", {"WITH_IBN": True}),
    "osnet": ("build_osnet_backbone", "x0_25", {}),
    "osnet_ibn": ("build_osnet_backbone", "x0_25", {"WITH_IBN": True}),
    "mobilenetv2": ("build_mobilenetv2_backbone", "0.35x", {}),
    "mobilenetv3": ("build_mobilenetv3_backbone", "Small", {}),
    "shufflenetv2": ("build_shufflenetv2_backbone", "0.5x", {}),
    "repvgg": ("build_repvgg_backbone", "A0", {}),
    "regnet": ("build_regnet_backbone", "200x", {}),
    "effnet": ("build_effnet_backbone", "b0", {}),
}


def backbone(builder, depth, options, norm="BN"):
    """A backbone in double precision, so that rounding in a deep network does not hide the conversion."""
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH, cfg.MODEL.BACKBONE.NORM = builder, depth, norm
    for key, value in options.items():
        cfg.MODEL.BACKBONE[key] = value
    torch.manual_seed(0)
    return build_backbone(cfg).double()


def spread_branches(model):
    """Make the branches differ, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, GDNorm):
                for bn in layer.branches:
                    bn.weight.mul_(1 + 0.1 * torch.rand(bn.weight.shape, generator=generator))
                    bn.bias.add_(0.1 * torch.randn(bn.bias.shape, generator=generator))
                    bn.running_var.mul_(1 + 0.1 * torch.rand(bn.weight.shape, generator=generator))
    return model


LARGE = ("resnet50", "resnet_nl", "resnext", "resnest")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LARGE)) for name in BACKBONES])
def test_convert_fold_and_reload(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # RegNet and EffNet must not read files relative to fast-reid's folder
    stock = backbone(*BACKBONES[name]).eval()
    x = torch.randn(K, 3, 64, 32, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    norms = [m for m in stock.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for bn in norms:  # population statistics as after some training
            bn.running_mean.uniform_(-0.1, 0.1)
            bn.running_var.uniform_(0.8, 1.2)

        def assert_near(found, expected):
            assert (found - expected).abs().max() <= NEAR * expected.abs().max()

        expected = stock(x)

        model = convert_gdnorm(copy.deepcopy(stock), K)
        layers = [m for m in model.modules() if isinstance(m, GDNorm)]
        assert len(layers) == len(norms)
        plain = [name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(".branches." in name for name in plain)
        assert_near(model(x), expected)  # a fresh conversion changes nothing

        spread_branches(model)
        along_mean = model(x)
        folded = fold_gdnorm(copy.deepcopy(model))
        assert list(folded.state_dict()) == list(stock.state_dict())
        assert [type(m) for m in folded.modules()] == [type(m) for m in stock.modules()]
        assert_near(folded(x), along_mean)

        reloaded = convert_gdnorm(backbone(*BACKBONES[name]), K).eval()
        reloaded.load_state_dict(model.state_dict())
        assert torch.equal(reloaded(x), along_mean)

        from_stock = convert_gdnorm(backbone(*BACKBONES[name]), K).eval()
        from_stock.load_state_dict(stock.state_dict())
        assert_near(from_stock(x), expected)

    model.train()
    with follow(model, DomainPath(torch.arange(K).repeat(2))):
        out = model(torch.cat([x, x.flip(3)]))
    assert out.shape[1:] == expected.shape[1:]


def test_in_ibn_the_batch_norm_gets_branches_and_the_instance_norm_stays_shared():
    model = convert_gdnorm(backbone(*BACKBONES["resnet_ibn"]), K)
    keys = set(model.state_dict())
    assert "layer1.0.bn1.IN.weight" in keys
    assert {f"layer1.0.bn1.BN.branches.{k}.running_var" for k in range(K)} <= keys


def test_branches_keep_eps_momentum_and_frozen_biases_and_a_shared_layer_stays_shared():
    neck = get_norm("BN", 8, bias_freeze=True, eps=1e-3, momentum=0.02)
    model = convert_gdnorm(nn.ModuleDict({"a": neck, "b": nn.Sequential(neck)}), K)
    assert model["a"] is model["b"][0]
    for bn in model["a"].branches:
        assert type(bn) is type(neck) and (bn.eps, bn.momentum) == (1e-3, 0.02)
        assert bn.weight.requires_grad and not bn.bias.requires_grad
    assert not fold_gdnorm(model)["a"].bias.requires_grad


def test_a_single_layer_or_a_partly_converted_model_can_be_converted():
    layer = convert_gdnorm(nn.BatchNorm2d(4), 2)
    assert isinstance(layer, GDNorm)
    model = nn.Sequential(layer, nn.BatchNorm2d(4))
    assert convert_gdnorm(model, 2)[0] is layer and isinstance(model[1], GDNorm)
    assert isinstance(fold_gdnorm(layer, SourcePath(1)), nn.BatchNorm2d)


def test_layers_keep_their_mode_frozen_parameters_and_hooks():
    model, seen, x = nn.Sequential(nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4))), [], torch.randn(2, 4, 3, 2)
    model.eval()[1].train()
    model[1][0].eval().bias.requires_grad_(False)
    handle = model[0].register_forward_hook(lambda layer, args, out: seen.append(layer))
    model[0].register_full_backward_hook(lambda layer, *gradients: seen.append(layer))
    for change in (lambda m: convert_gdnorm(m, K), add_branch, fold_gdnorm):
        change(model)
        for name, module in model.named_modules():
            assert module.training == (name == "1")
        assert {name for name, p in model.named_parameters() if not p.requires_grad} == {
            name for name, _ in model.named_parameters() if name.startswith("1.0") and name.endswith("bias")
        }
        seen.clear()
        model(x.requires_grad_()).sum().backward()
        assert seen == [model[0]] * 2
    handle.remove()
    model(x)
    assert len(seen) == 2
    only_the_last = convert_gdnorm(nn.BatchNorm2d(4), K)
    only_the_last.branches[:-1].requires_grad_(False)
    assert fold_gdnorm(only_the_last).weight.requires_grad


def test_modules_that_cannot_be_branched_are_refused_and_left_unchanged():
    ghost = backbone(*BACKBONES["resnet"], norm="GhostBN")
    with pytest.raises(ValueError, match="cannot branch GhostBatchNorm 'bn1'.*set the layer's NORM to BN"):
        convert_gdnorm(ghost, K)
    without_bias = nn.BatchNorm2d(4)
    without_bias.register_parameter("bias", None)  # like BatchNorm2d(4, bias=False) in newer torch
    for wrong in (
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
        without_bias,
        nn.SyncBatchNorm(4, affine=False),
        nn.BatchNorm1d(4),
        nn.LazyBatchNorm2d(),
        GDNorm(nn.BatchNorm2d(4), K + 1),
    ):
        partly = nn.Sequential(nn.BatchNorm2d(4), wrong)
        with pytest.raises(ValueError, match=f"{type(wrong).__name__} '1'"):
            convert_gdnorm(partly, K)
        assert isinstance(partly[0], nn.BatchNorm2d)
    with pytest.raises(ValueError, match="VisionTransformer has no BatchNorm2d to branch"):
        convert_gdnorm(backbone("build_vit_backbone", "small", {}), K)
    with pytest.raises(TypeError, match="DomainPath is not one affine map"):
        fold_gdnorm(nn.BatchNorm2d(4), DomainPath(torch.tensor([0])))


def test_synchronized_layers_become_synchronized_branches_with_the_same_weights():
    sync = nn.SyncBatchNorm(4, eps=1e-3, momentum=0.3)
    with torch.no_grad():
        for values in (sync.weight, sync.bias, sync.running_mean, sync.running_var):
            values.copy_(torch.rand(4))
    sync.bias.requires_grad_(False)
    layer = convert_gdnorm(nn.Sequential(sync), K)[0]
    assert layer.synchronized and not convert_gdnorm(nn.Sequential(nn.BatchNorm2d(4)), K)[0].synchronized
    for branch in layer.branches:
        assert type(branch) is nn.BatchNorm2d and (branch.eps, branch.momentum) == (1e-3, 0.3)
        assert branch.weight.requires_grad and not branch.bias.requires_grad
        assert all(torch.equal(values, sync.state_dict()[name]) for name, values in branch.state_dict().items())
