"""``fastreid export``: a path through a trained model as a stock fast-reid model, TorchScript and ONNX."""

import importlib.metadata
import json
import platform
import warnings
from pathlib import Path

import numpy as np
import torch
from fastreid.data.transforms import build_transforms
from fastreid.engine import DefaultTrainer
from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
from PIL import Image
from torch import nn

from ..config import remove_gdnorm_config
from ..console import say
from ..errors import UserError
from ..layers import fold_gdnorm
from ..modeling import GDNormTraining
from ..modeling.path_names import parse_test_path
from ..runs.checkpoints import digest, find_weights, load_model
from ..runs.config import load_config
from ..training.population_statistics import complete_mean_path

STOCK_TOLERANCE, DEPLOYED_TOLERANCE = 1e-5, 1e-4  # of the largest feature


def export_model(config_file, output, path="mean", onnx=False, fuse=False, overrides=()):
    """Write config.yaml and model.pth of the stock model that ``path`` amounts to, and manifest.json, into ``output``.

    Args:
        path: mean, source:K or sample:SEED.
        onnx: also model.onnx, preprocessing inside: images (B, 3, H, W), RGB from 0 to 255, to features (B, D).
        fuse: also model_fused.pt, TorchScript of the same form, with BN folded into the convolutions; so is the ONNX.

    Raises:
        UserError: there is no stock model for it, or what was written gives other features than the trained model.
    """
    cfg = load_config(config_file, overrides)
    device, cfg.MODEL.DEVICE = cfg.MODEL.DEVICE, "cpu"  # where all of this is done
    model = load_model(cfg).eval()
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    images = _check_images(cfg)
    stock_cfg, stock, expected = _stock_model(cfg, model, path, images)

    stock_cfg.MODEL.DEVICE = device
    (output / "config.yaml").write_text(stock_cfg.dump())
    torch.save({"model": stock.state_dict()}, output / "model.pth")
    made = {"model.pth": _compare("model.pth", stock.double(), images.double(), expected, STOCK_TOLERANCE)}
    deployed = _Deployed(stock.float())
    if fuse:
        made["model_fused.pt"] = _save_fused(deployed, images, expected, output / "model_fused.pt")
    if onnx:
        made["model.onnx"] = _save_onnx(deployed, images, expected, output / "model.onnx")

    manifest = {
        "config": str(config_file),
        "weights": str(find_weights(cfg)),
        "weights_sha256": digest(find_weights(cfg)),
        "meta_architecture": {"trained": cfg.MODEL.META_ARCHITECTURE, "exported": stock_cfg.MODEL.META_ARCHITECTURE},
        "sources": list(cfg.DATASETS.NAMES),
        "K": len(cfg.DATASETS.NAMES),
        "path": path,
        "lambda": cfg.MODEL.GDNORM.LAMBDA,
        "noise": cfg.MODEL.GDNORM.NOISE,
        "mean_of": cfg.MODEL.GDNORM.MEAN_OF,
        "input": {"size": list(cfg.INPUT.SIZE_TEST), "channels": "RGB", "range": [0, 255]},
        "features": expected.shape[1],
        "metric": cfg.TEST.METRIC,
        "files": {name: {**check, "sha256": digest(output / name)} for name, check in made.items()},
        "config_sha256": digest(output / "config.yaml"),
        "versions": _versions(),
    }
    (output / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    for name, check in made.items():
        say(f"{output / name}: largest difference {check['difference']:.1e} (tolerance {check['tolerance']:.0e})")
    say(f"{output / 'config.yaml'}: stock fast-reid loads it with MODEL.WEIGHTS {output / 'model.pth'}")
    return manifest


def _stock_model(cfg, model, path, images):
    """The stock config and model of a path, and the features that the trained model has along it."""
    stock_cfg = cfg.clone()
    stock_cfg.defrost()
    stock_cfg.MODEL.BACKBONE.PRETRAIN, stock_cfg.MODEL.WEIGHTS = False, ""
    if isinstance(model, GDNormTraining):
        paths = parse_test_path(path, cfg)
        if len(paths) > 1:
            raise UserError(f"--path {path} is {len(paths)} networks in one: export each source:K, or mean")
        model.test_paths = paths
        complete_mean_path(cfg, model)
        stock_cfg.MODEL.META_ARCHITECTURE = _stock_name(type(model))
        if cfg.MODEL.BACKBONE.NAME == "build_gdnorm_backbone":
            stock_cfg.MODEL.BACKBONE.NAME = cfg.MODEL.GDNORM.BACKBONE
    elif path != "mean":
        raise UserError(f"--path is for GDNorm models; MODEL.META_ARCHITECTURE is {cfg.MODEL.META_ARCHITECTURE}")
    model.double()  # so that what is compared is the folding, not the rounding of a deep network
    with torch.no_grad():
        expected = model({"images": images.double()})
    folded = fold_gdnorm(model, *model.test_paths) if isinstance(model, GDNormTraining) else model
    stock = DefaultTrainer.build_model(stock_cfg).eval()
    stock.load_state_dict(folded.state_dict())
    remove_gdnorm_config(stock_cfg)
    # the plugin's readers are not there either: which data sets are tested is for whoever loads this
    stock_cfg.DATASETS.NAMES = stock_cfg.DATASETS.TESTS = ()
    stock_cfg.OUTPUT_DIR = "logs/exported"
    return stock_cfg, stock, expected


def _stock_name(kind):
    """The registered meta-architecture under GDNormTraining."""
    below = [base for base in kind.__mro__ if not issubclass(base, GDNormTraining) and issubclass(base, nn.Module)]
    if below[0].__name__ not in META_ARCH_REGISTRY._obj_map:
        raise UserError(f"{kind.__name__} cannot be exported: {below[0].__name__} is not registered in fast-reid")
    return below[0].__name__


def _check_images(cfg):
    """Pictures of a few random colours each, blended, as the test loader would give them.

    (8, 3, H, W), RGB from 0 to 255, the same every time.
    """
    transform = build_transforms(cfg, is_train=False)
    colours = np.random.default_rng(0).integers(0, 256, (8, 3, 2, 3), dtype=np.uint8)
    pictures = [Image.fromarray(grid).resize((70, 150), Image.BICUBIC) for grid in colours]
    return torch.stack([transform(picture) for picture in pictures]).float()


class _Deployed(nn.Module):
    """Images, not batches of fast-reid's: (B, 3, H, W), RGB from 0 to 255, to features (B, D)."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images)


class _ChannelsLast(nn.Module):
    """``model`` on images in channels-last order, in which convolutions are faster."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(images.contiguous(memory_format=torch.channels_last))


def _save_fused(model, images, expected, file):
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # freezing folds every BN that directly follows a convolution into it
        traced = torch.jit.freeze(torch.jit.trace(_ChannelsLast(model).eval(), images[:2]))
        torch.jit.save(traced, str(file))
        return _compare(file.name, torch.jit.load(str(file)), images, expected, DEPLOYED_TOLERANCE)


def _save_onnx(model, images, expected, file):
    try:
        import onnx  # noqa: F401  torch's exporter needs it, and says so less clearly
        import onnxruntime
    except ImportError as error:
        raise UserError(f"--onnx needs {error.name}: pip install 'fastreid_gdnorm[onnx]'") from error
    names = {"input_names": ["images"], "output_names": ["features"]}
    batch = {name: {0: "batch"} for name in ("images", "features")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # torch's exporter folds BN as freezing does
        torch.onnx.export(
            model.eval(), (images[:2],), str(file), dynamic_axes=batch, opset_version=13, dynamo=False, **names
        )
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return _compare(
        file.name,
        lambda some: torch.from_numpy(session.run(None, {"images": some.numpy()})[0]),
        images,
        expected,
        DEPLOYED_TOLERANCE,
    )


def _compare(name, model, images, expected, tolerance):
    """The largest difference of features, in parts of the largest feature, over batches of several sizes."""
    with torch.no_grad():
        found = torch.cat([model(some.clone()).to(expected) for some in images.split([1, 3, len(images) - 4])])
    difference = float((found - expected).abs().max() / expected.abs().max())
    if not difference <= tolerance:
        raise UserError(f"{name} gives other features: they differ by {difference:.1e}, more than {tolerance:.0e}")
    return {"difference": difference, "tolerance": tolerance}


def _versions():
    packages = {}
    for name in ("fastreid_gdnorm", "fastreid", "torch", "onnx", "onnxruntime"):
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = None
    return {"python": platform.python_version(), **packages}
