"""manifest.json: what was exported from which model, the input it takes, and the results of its checks."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from fastreid.config import CfgNode

from .._version import installed
from ..consumers import CONSUMERS
from ..disk import digest, write_text
from ..errors import UserError
from ..inference.description import MANIFEST, Description, read_manifest
from ..runs import files

PACKAGES = ("fastreid_gdnorm", "fastreid", "torch", "onnx", "onnxruntime", "openvino")


def write_manifest(
    folder: Path,
    config_file: str | Path,
    cfg: CfgNode,
    stock_cfg: CfgNode,
    description: Description,
    checks: dict[str, Any],
    consumers: dict[str, Any],
) -> dict[str, Any]:
    """Write the manifest into ``folder``, after all other files, and return it; its ``written`` lists these files.

    Args:
        cfg: config of the trained model; MODEL.WEIGHTS is its checkpoint, TEST_PATH the exported path.
        stock_cfg: config of the exported stock model.
        description: describes the model and the input of its files, except files written for a consumer.
        checks: {file: its difference and tolerance}.
        consumers: {name: its file, the file's input, and the cosines of its features}.
    """
    gdnorm = cfg.MODEL.GDNORM
    manifest = {
        "config": str(config_file),
        "weights": str(cfg.MODEL.WEIGHTS),
        "weights_sha256": digest(cfg.MODEL.WEIGHTS),
        "meta_architecture": {"trained": cfg.MODEL.META_ARCHITECTURE, "exported": stock_cfg.MODEL.META_ARCHITECTURE},
        "sources": list(cfg.DATASETS.NAMES),
        "K": len(cfg.DATASETS.NAMES),
        "path": gdnorm.TEST_PATH,
        "lambda": gdnorm.LAMBDA,
        "noise": gdnorm.NOISE,
        "mean_of": gdnorm.MEAN_OF,
        "model": description.model,
        "input": description.input.as_json(),
        "features": description.features,
        "metric": description.metric,
        "files": {name: {**check, "sha256": digest(folder / name)} for name, check in checks.items()},
        "consumers": consumers,
        "config_sha256": digest(folder / files.CONFIG),
        "written": {file.name: digest(file) for file in sorted(folder.iterdir())},
        "versions": {"python": platform.python_version(), **installed(*PACKAGES)},
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    return manifest


def written_files(folder: Path) -> dict[str, str]:
    """{name: SHA-256} of the files that ``fastreid export`` wrote into a folder, by its manifest; {} without one.

    A digest that the manifest lacks is "".
    """
    try:
        manifest = read_manifest(folder)
        files_of_consumers = {found["file"]: found["sha256"] for found in manifest["consumers"].values()}
        sidecars = {CONSUMERS[name].sidecar: "" for name in manifest["consumers"] if CONSUMERS[name].sidecar}
        listed = {name: check["sha256"] for name, check in manifest["files"].items()}
        listed = {files.CONFIG: manifest["config_sha256"], **sidecars, **files_of_consumers, **listed}
        listed = manifest.get("written", listed)
        return {MANIFEST: "", **{name: sha256 for name, sha256 in listed.items() if Path(name).name == name}}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}
