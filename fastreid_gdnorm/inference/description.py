"""What whoever runs a model has to know of it: what it takes, and what its features are compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..disk import digest
from ..errors import UserError
from ..runs import files

MANIFEST, CHECKPOINT_FILE, ONNX_FILE = "manifest.json", "model.pth", "model.onnx"  # of an export
PROPERTY = "fastreid_gdnorm"  # the one key in an ONNX file's metadata; Ultralytics turns each into an attribute


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an export.

    Raises:
        UserError: it is damaged, or of a version that did not say which model it is of.
    """
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
        for key in ("model", "sources", "files", "config_sha256"):
            manifest[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged or of an older version ({error}): run fastreid export again") from error
    return manifest


def check_written(file: Path) -> None:
    """That a file of an export is as it was written, by the manifest beside it; without one, nothing is known.

    Raises:
        UserError: it has changed since, or the manifest is damaged.
    """
    if not (file.parent / MANIFEST).is_file():
        return
    manifest = read_manifest(file.parent)
    listed = {files.CONFIG: manifest["config_sha256"], **manifest.get("written", {})}
    for name, check in manifest["files"].items():
        listed.setdefault(name, check["sha256"])
    if file.name in listed and (not file.is_file() or digest(file) != listed[file.name]):
        raise UserError(f"{file} is not what {MANIFEST} beside it was written for: run fastreid export again")


def other_version(model: str, fix: str) -> str:
    """What to add to an error about a model's digest if that is in the way of an earlier version; else nothing."""
    return "" if model.startswith(files.DIGEST) else f"; an earlier version named its model: {fix} again"


class ModelInput(NamedTuple):
    """The images that a network takes: (B, 3, H, W), float32, RGB, in ``range``, then normalised.

    Args:
        size: height and width.
        range: of a colour before it is normalised.
        mean, std: of R, G and B in that range; ``(value - mean) / std`` is what goes in. 0 and 1 where the network
            takes colours as they are, and normalises them itself.
    """

    size: tuple[int, int]
    range: tuple[int, int] = (0, 255)
    mean: tuple[float, float, float] = (0, 0, 0)
    std: tuple[float, float, float] = (1, 1, 1)

    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """RGB pictures of that size, (B, H, W, 3) from 0 to 255, as the network takes them."""
        low, high = self.range
        values = pictures.astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
        values = (values - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(0, 3, 1, 2))

    def as_json(self) -> dict[str, Any]:
        """As a manifest has it."""
        return {
            "layout": "NCHW",
            "channels": "RGB",
            "size": list(self.size),
            "range": list(self.range),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelInput:
        """What :meth:`as_json` has given."""
        return cls(*(tuple(data[field]) for field in cls._fields))


class Description(NamedTuple):
    """A model's features.

    Args:
        model: the SHA-256 of what makes them; the same for a run's folder and for what was exported from it.
        metric: "cosine" or "euclidean", as the config's TEST.METRIC: what they are compared by.
        features: how many an image has.
        input: what the network takes.
    """

    model: str
    metric: str
    features: int
    input: ModelInput

    def to_property(self) -> str:
        """One line of JSON, for the metadata of an ONNX file under the key PROPERTY."""
        return json.dumps({**self._asdict(), "input": self.input.as_json()})

    @classmethod
    def from_property(cls, text: str) -> Description:
        """What :meth:`to_property` has given."""
        data = json.loads(text)
        return cls(data["model"], data["metric"], int(data["features"]), ModelInput.from_json(data["input"]))
