"""The files that some programs read beside a model: BoxMOT's metadata, and a section of nvtracker's configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..consumers import CONSUMERS
from ..disk import write_text
from ..inference.description import Description
from ..runs import files


def write_sidecar(consumer: str, folder: Path, description: Description) -> None:
    """Write a consumer's sidecar into an export's folder, if it has one.

    Args:
        consumer: a name in CONSUMERS.
        description: the exported model.
    """
    sidecar = CONSUMERS[consumer].sidecar
    if sidecar:
        write_text(folder / sidecar, _CONTENTS[consumer](description))


def _of_boxmot(description: Description) -> str:
    """Size and resizing, as ``.metadata.json``."""
    size = list(description.input.size)
    content = {
        "schema_version": 1,
        "model_name": "fastreid_gdnorm",  # otherwise BoxMOT looks for one of its backbones' names in the file name
        "preprocess": "resize",
        "img_size": size,
        "model_kwargs_schema_version": 1,
        "model_kwargs": {"img_size": size},
        "source_sha256": description.model[len(files.DIGEST) :],
    }
    return json.dumps(content, indent=2) + "\n"


def _of_deepstream(description: Description) -> str:
    """The section ``ReID`` in the fields of nvtracker's NvDCF and NvDeepSORT, each with its reason."""
    consumer = CONSUMERS["deepstream"]
    height, width = description.input.size
    return f"""\
# The section ReID for the configuration of DeepStream's nvtracker. It replaces the section that you have; fields that
# are not here can stay. fastreid export wrote it from DeepStream's documentation and has not run it in DeepStream.
ReID:
  onnxFile: {consumer.file}  # write its full path if nvtracker does not look in the folder of its configuration
  reidType: 2  # for NvDCF, to re-associate lost targets; NvDeepSORT needs 1, and 3 does both
  batchSize: 100  # crops in one run; the file takes any number, so this is for your GPU's memory
  networkMode: 0  # 0 is fp32, as the file was checked; 1 (fp16) is faster; 2 (int8) needs a calibration
  inferDims: [3, {height}, {width}]  # channels, height and width of the file's input
  inputOrder: 0  # NCHW
  colorFormat: 0  # RGB
  offsets: [0.0, 0.0, 0.0]  # subtracted from R, G and B; nothing, as the network normalises by itself
  netScaleFactor: 1.0  # multiplies what is left; one number for all colours cannot hold a std for each
  keepAspc: 0  # stretch crops to inferDims, as in training, instead of padding them
  reidFeatureSize: {description.features}  # numbers in a feature
  addFeatureNormalization: 1  # scale features to length 1: the network does not, and nvtracker compares by cosine
"""


_CONTENTS: dict[str, Callable[[Description], str]] = {"boxmot": _of_boxmot, "deepstream": _of_deepstream}
