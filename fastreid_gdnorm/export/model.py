"""``fastreid export``: write one path through a trained model as a stock fast-reid model, TorchScript or ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fastreid.config import CfgNode
from torch import Tensor

from ..console import say
from ..consumers import CONSUMERS, Consumer
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
from .formats import CHECKPOINT, ENGINES, ONNX, TORCHSCRIPT, Format
from .manifest import write_manifest, written_files
from .resizing import RESIZES
from .sidecars import write_sidecar
from .stock import on_cpu, path_to_fold, stock_config, stock_model
from .usage_notes import check_engine, usage_note


def export_model(
    config_file: str | Path,
    output: str | Path,
    path: str = "mean",
    onnx: bool = False,
    fuse: bool = False,
    consumers: Sequence[str] = (),
    overrides: Sequence[object] = (),
) -> dict[str, Any]:
    """Fold a model along ``path``, write it to ``output`` as config.yaml, model.pth and manifest.json, and check it.

    Args:
        path: mean, source:N, sample:SEED, weighted:W,W,... or posterior:FILE.
        onnx: also write model.onnx, which maps images (B, 3, H, W), RGB from 0 to 255, to features (B, D).
        fuse: also write model_fused.pt, TorchScript with the same input and output. In both files BN is folded into
            the convolutions.
        consumers: names in CONSUMERS; also write the files that these programs load, checked with their preprocessing,
            and model.onnx if one of them loads that.

    Returns:
        The contents of manifest.json.

    Raises:
        UserError: there is no stock model for the path, a consumer cannot use the model, the trained model's features
            are NaN, infinite or all zero, or a written file's features differ from the trained model's.
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
    notes = [usage_note(name, stock_cfg.MODEL.META_ARCHITECTURE, description) for name in consumers]
    stock = stock_model(stock_cfg, trained.model, folded)

    former = written_files(output)
    with in_place_of(output, former) as part:
        write_text(part / files.CONFIG, stock_cfg.dump())
        checks, runs = {}, {}
        for form in _formats(onnx, fuse, consumers):
            run = runs[form.file] = form.write(stock, description, part / form.file)
            checks[form.file] = compare(form.file, run, images, expected, form.tolerance)
        of_consumers = {}
        for name in consumers:
            consumer = CONSUMERS[name]
            model_input, file = _input_of(consumer, size), part / consumer.file
            if consumer.file not in runs:
                runs[consumer.file] = ONNX.write(stock, description._replace(input=model_input), file)
            run = ENGINES[consumer.engine](file) if consumer.engine else runs[consumer.file]
            write_sidecar(name, part, description)
            fed = compare_fed(consumer.file, run, trained, RESIZES[consumer.resize], model_input)
            of_consumers[name] = {"file": consumer.file, "sha256": digest(file), "input": model_input.as_json(), **fed}
        manifest = write_manifest(part, config_file, cfg, stock_cfg, description, checks, of_consumers)
    threshold = read_thresholds(Path(cfg.MODEL.WEIGHTS).parent).get(description.model)
    if threshold:
        save_threshold(output, threshold)
        say(f"{output}: includes the threshold that fastreid calibrate found for this path")
    stale = [name for name in former if name not in manifest["written"] and name != MANIFEST]
    if stale:
        say(f"removed from {output}, left over from an earlier export: {', '.join(sorted(stale))}")
    for name, check in checks.items():
        say(
            f"{output / name}: largest difference from the trained model {check['difference']:.1e} (tolerance "
            f"{check['tolerance']:.0e})"
        )
    config, weights = output / files.CONFIG, output / CHECKPOINT.file
    say(f"{config}: stock fast-reid loads it with MODEL.WEIGHTS {weights}")
    for (name, check), note in zip(of_consumers.items(), notes):
        say(
            f"{name}: {CONSUMERS[name].use.format(folder=output)}\n    cosine to the trained model: "
            f"{check['cosine']:.5f} with the same resizing, {check['cosine_to_evaluation']:.4f} with fast-reid's"
        )
        if note:
            say(f"    {note}")
    return manifest


def check_output(output: Path, onnx: bool = False, fuse: bool = False, consumers: Sequence[str] = ()) -> None:
    """Check that an export can be written to ``output`` without overwriting the user's files, and checked.

    Raises:
        UserError: it cannot.
    """
    for name in consumers:
        check_engine(name)
    names = [MANIFEST, files.CONFIG, *(form.file for form in _formats(onnx, fuse, consumers))]
    for_consumers = [file for name in consumers for file in (CONSUMERS[name].file, CONSUMERS[name].sidecar) if file]
    read_thresholds(output)  # raises if the file is damaged, since a threshold may be added to it
    check_free(output, [*names, *for_consumers], written_files(output), "fastreid export")


def each_camera(path: str, output: str | Path) -> dict[Path, str]:
    """The exports to write, as {folder: path}. ``posterior:FOLDER`` gives one for the site and one for each camera.

    Raises:
        UserError: FOLDER has no posterior paths.
    """
    place = posterior_place(path)
    if not place or not Path(place).is_dir():
        return {Path(output): path}
    places = files_of(place)
    if len(places) == 1:
        return {Path(output): f"{POSTERIOR}:{places['']}"}
    return {Path(output) / file.stem: f"{POSTERIOR}:{file}" for file in places.values()}


def _formats(onnx: bool, fuse: bool, consumers: Sequence[str]) -> tuple[Format, ...]:
    """The formats to write, model.onnx also for a consumer that loads it."""
    onnx = onnx or any(CONSUMERS[name].file == ONNX.file for name in consumers)
    return CHECKPOINT, *[TORCHSCRIPT] * fuse, *[ONNX] * onnx


def _input_of(consumer: Consumer, size: tuple[int, int]) -> ModelInput:
    return ModelInput(size, consumer.range, consumer.mean, consumer.std, consumer.channels, consumer.batch)


class _Trained:
    """A config's trained model, in double on CPU: maps images (B, 3, H, W), RGB from 0 to 255, to features (B, D).

    Raises:
        UserError: when called, if features are NaN or infinite or, under the cosine metric, all zero.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._cfg, self.model = cfg, load_model(on_cpu(cfg)).eval().double()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        features: Tensor = self.model({"images": images.double()})
        if len(unusable_rows(features.numpy(), self._cfg.TEST.METRIC)):
            raise not_finite("random pictures", self._cfg.MODEL.WEIGHTS)
        return features
