"""What you must know to run a model: its input, the size of its features, and the metric that compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..disk import digest
from ..errors import UserError
from ..runs import files

MANIFEST, CHECKPOINT_FILE, ONNX_FILE = "manifest.json", "model.pth", "model.onnx"  # files of an export
# The only key in an ONNX file's metadata, since Ultralytics turns every key into an attribute.
PROPERTY = "fastreid_gdnorm"


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of an export.

    Raises:
        UserError: it is damaged, or an older version without the model's digest wrote it.
    """
    file = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
        for key in ("model", "sources", "files", "config_sha256"):
            manifest[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged or from an older version ({error}): run fastreid export again") from error
    return manifest


def check_written(file: Path) -> None:
    """Check a file of an export against the digest in the manifest beside it; without a manifest, do nothing.

    Raises:
        UserError: the file has changed, or the manifest is damaged.
    """
    if not (file.parent / MANIFEST).is_file():
        return
    manifest = read_manifest(file.parent)
    listed = {files.CONFIG: manifest["config_sha256"], **manifest.get("written", {})}
    for name, check in manifest["files"].items():
        listed.setdefault(name, check["sha256"])
    if file.name in listed and (not file.is_file() or digest(file) != listed[file.name]):
        raise UserError(f"{file} is missing or has changed since {MANIFEST} was written: run fastreid export again")


def other_version(model: str, fix: str) -> str:
    """A hint to add to an error about a model's digest if an earlier version computed the digest, else ""."""
    return "" if model.startswith(files.DIGEST) else f"; digest {model[:16]} is from an earlier version: {fix} again"


class ModelInput(NamedTuple):
    """The images that a network takes: (B, 3, H, W), float32, scaled to ``range`` and then normalised.

    Args:
        size: height and width.
        range: lowest and highest colour value before normalisation.
        mean, std: for R, G and B in that range. The network gets ``(value - mean) / std``. The defaults of 0 and 1 are
            for networks that normalise the colours themselves.
        channels: "RGB" or "BGR", the order of the colours.
        batch: B, or None if it can be any number.
    """

    size: tuple[int, int]
    range: tuple[int, int] = (0, 255)
    mean: tuple[float, float, float] = (0, 0, 0)
    std: tuple[float, float, float] = (1, 1, 1)
    channels: str = "RGB"
    batch: int | None = None

    def feed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn RGB pictures of this size, (N, H, W, 3) from 0 to 255, into the network's input (N, 3, H, W)."""
        (low, high), order = self.range, 1 if self.channels == "RGB" else -1
        fed: NDArray[np.float32] = pictures[..., ::order].transpose(0, 3, 1, 2).astype(np.float32, order="C")
        mean, std = (np.array(values[::order], np.float32).reshape(3, 1, 1) for values in (self.mean, self.std))
        fed *= np.float32((high - low) / 255)
        fed += np.float32(low)
        fed -= mean
        fed /= std
        return fed

    def as_json(self) -> dict[str, Any]:
        """The entry ``input`` of a manifest."""
        return {
            "layout": "NCHW",
            "channels": self.channels,
            "batch": self.batch,
            "size": list(self.size),
            "range": list(self.range),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ModelInput:
        """The inverse of :meth:`as_json`."""
        size, colours, mean, std = (tuple(data[field]) for field in ("size", "range", "mean", "std"))
        return cls(size, colours, mean, std, data["channels"], data.get("batch"))


class Description(NamedTuple):
    """A model and its features.

    Args:
        model: digest (SHA-256) of everything the features depend on; a run and its exports share it.
        metric: "cosine" or "euclidean", the config's TEST.METRIC, which compares features.
        features: D, the length of a feature vector.
        input: what the network takes.
    """

    model: str
    metric: str
    features: int
    input: ModelInput

    @classmethod
    def of_file(cls, file: str | Path, metric: str, features: int, input: ModelInput) -> Description:
        """The description of a model that is one file, without a config."""
        return cls(files.DIGEST + digest(file), metric, features, input)

    def to_property(self) -> str:
        """One line of JSON, stored under the key PROPERTY in a file's metadata."""
        return json.dumps({**self._asdict(), "input": self.input.as_json()})

    @classmethod
    def from_property(cls, text: str) -> Description:
        """The inverse of :meth:`to_property`."""
        data = json.loads(text)
        return cls(data["model"], data["metric"], int(data["features"]), ModelInput.from_json(data["input"]))
