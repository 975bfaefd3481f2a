"""``fastreid export``: a path through a trained model as a stock fast-reid model, TorchScript and ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode
from torch import Tensor

from ..console import say
from ..disk import digest, write_text
from ..errors import not_finite
from ..inference.comparable import unusable_rows
from ..inference.description import MANIFEST, Description, ModelInput
from ..inference.thresholds import read_thresholds, save_threshold
from ..modeling import branched
from ..modeling.path_names import POSTERIOR, posterior_place
from ..own_files import check_free, in_place_of
from ..runs import files
from ..runs.run_checkpoints import find_weights, load_model, model_digest
from ..runs.run_folder import load_trained_config
from ..site_files import files_of
from .check import check_images, compare, compare_fed
from .consumers import CONSUMERS, sidecar_of, usage_note, write_sidecar
from .formats import CHECKPOINT, ONNX, TORCHSCRIPT
from .manifest import write_manifest, written_files
from .stock import on_cpu, path_to_fold, stock_config, stock_model


def export_model(
    config_file: str | Path,
    output: str | Path,
    path: str = "mean",
    onnx: bool = False,
    fuse: bool = False,
    consumers: Sequence[str] = (),
    overrides: Sequence[object] = (),
) -> dict[str, Any]:
    """Write config.yaml and model.pth of the stock model that ``path`` amounts to, and manifest.json, into ``output``.

    Args:
        path: mean, source:K, sample:SEED, weighted:W,W,... or posterior:FILE.
        onnx: also model.onnx, preprocessing inside: images (B, 3, H, W), RGB from 0 to 255, to features (B, D).
        fuse: also model_fused.pt, TorchScript of the same form, with BN folded into the convolutions; so is the ONNX.
        consumers: names in CONSUMERS; also what these load, checked by feeding it as they do.

    Returns:
        What is in manifest.json.

    Raises:
        UserError: there is no stock model for it, it cannot be used by a consumer, the trained model gives no usable
            features, or what was written gives others than that.
    """
    output, consumers = Path(output), list(dict.fromkeys(consumers))
    check_output(output, onnx, fuse, consumers)
    cfg = load_trained_config(config_file, overrides)
    cfg.MODEL.WEIGHTS = find_weights(cfg)
    if path != "mean":
        cfg = branched(cfg)
    folded = path_to_fold(cfg, path)
    cfg.MODEL.GDNORM.TEST_PATH = path
    trained = _Trained(cfg)
    images = check_images(cfg)
    expected = trained(images)
    size = (int(images.shape[2]), int(images.shape[3]))
    description = Description(model_digest(cfg), cfg.TEST.METRIC, expected.shape[1], ModelInput(size))
    stock_cfg = stock_config(cfg)
    words = [usage_note(name, stock_cfg.MODEL.META_ARCHITECTURE, description.features) for name in consumers]
    stock = stock_model(stock_cfg, trained.model, folded)

    former = written_files(output)
    with in_place_of(output, former) as part:
        write_text(part / files.CONFIG, stock_cfg.dump())
        checks, runs = {}, {}
        for form in (CHECKPOINT, *[TORCHSCRIPT] * fuse, *[ONNX] * onnx):
            run = runs[form.file] = form.write(stock, description, part / form.file)
            checks[form.file] = compare(form.file, run, images, expected, form.tolerance)
        of_consumers = {}
        for name in consumers:
            consumer = CONSUMERS[name]
            takes, file = consumer.input(size), part / consumer.file
            if consumer.has_own_file:
                runs[consumer.file] = ONNX.write(stock, description._replace(input=takes), file)
                write_sidecar(name, file, description)
            fed = compare_fed(consumer.file, runs[consumer.file], trained, consumer.resize, takes)
            of_consumers[name] = {"file": consumer.file, "sha256": digest(file), "input": takes.as_json(), **fed}
        manifest = write_manifest(part, config_file, cfg, stock_cfg, description, checks, of_consumers)
    threshold = read_thresholds(Path(cfg.MODEL.WEIGHTS).parent).get(description.model)
    if threshold:
        save_threshold(output, threshold)
        say(f"{output}: the threshold of this path, which fastreid calibrate has found, comes with it")
    stale = [name for name in former if name not in manifest["written"] and name != MANIFEST]
    if stale:
        say(f"removed from {output}, as an earlier export wrote it: {', '.join(sorted(stale))}")
    for name, check in checks.items():
        say(f"{output / name}: largest difference {check['difference']:.1e} (tolerance {check['tolerance']:.0e})")
    config, weights = output / files.CONFIG, output / CHECKPOINT.file
    say(f"{config}: stock fast-reid loads it with MODEL.WEIGHTS {weights}")
    for (name, check), word in zip(of_consumers.items(), words):
        say(
            f"{name}: {CONSUMERS[name].use.format(folder=output)}\n    fed as there, cosine to the trained model "
            f"{check['cosine']:.5f}; to evaluation, which resizes by itself, {check['cosine_to_evaluation']:.4f}"
        )
        if word:
            say(f"    {word}")
    return manifest


def check_output(output: Path, onnx: bool = False, fuse: bool = False, consumers: Sequence[str] = ()) -> None:
    """That an export with these files can be written to ``output`` and loses nothing of the user's there.

    Raises:
        UserError: it cannot.
    """
    own = [CONSUMERS[name].file for name in consumers]
    names = [MANIFEST, files.CONFIG, CHECKPOINT.file, *[TORCHSCRIPT.file] * fuse, *[ONNX.file] * onnx, *own]
    read_thresholds(output)  # to which one may be added
    check_free(output, [*names, *map(sidecar_of, own)], written_files(output), "fastreid export")


def each_camera(path: str, output: str | Path) -> dict[Path, str]:
    """{folder: path} of all that is to be exported: of ``posterior:FOLDER``, a folder for each camera and the site's.

    Raises:
        UserError: there is no such folder.
    """
    place = posterior_place(path)
    if not place or not Path(place).is_dir():
        return {Path(output): path}
    places = files_of(place)
    if len(places) == 1:
        return {Path(output): f"{POSTERIOR}:{places['']}"}
    return {Path(output) / file.stem: f"{POSTERIOR}:{file}" for file in places.values()}


class _Trained:
    """The trained model of a config, in double on CPU: images (B, 3, H, W), RGB from 0 to 255, to features (B, D).

    Raises:
        UserError: when called, if its features are not usable.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._cfg, self.model = cfg, load_model(on_cpu(cfg)).eval().double()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        features: Tensor = self.model({"images": images.double()})
        if len(unusable_rows(features.numpy(), self._cfg.TEST.METRIC)):
            raise not_finite("random pictures", self._cfg.MODEL.WEIGHTS)
        return features
