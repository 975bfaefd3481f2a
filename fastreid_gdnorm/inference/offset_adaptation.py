"""Learn a site's camera offsets: ``fastreid adapt --by features``, which needs no torch if the model is ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..console import say
from ..disk import replacing
from ..errors import UserError
from ..own_files import in_place_of
from ..site_files import OFFSETS, write_summary, written_files
from .camera_offsets import CameraOffsets
from .extraction import extract
from .feature_extractor import FeatureExtractor
from .records import Record
from .unlabelled import NAME_THEM, draw_by_camera

FEW = 4  # images of a camera; with fewer, its offset stays close to the mean of all cameras


def with_known_camera(records: Sequence[Record]) -> list[Record]:
    """The images whose camera is known; a printed line counts the others.

    Raises:
        UserError: no camera is known.
    """
    known = [record for record in records if record.camera]
    unknown = [record for record in records if not record.camera]
    if not known:
        raise UserError(
            f"none of the {len(records)} images has a known camera; the first is {records[0].path}: {NAME_THEM}"
        )
    if unknown:
        say(f"{len(unknown)} images with unknown camera are left out, such as {unknown[0].path}: {NAME_THEM}")
    return known


def learn_offsets(extractor: FeatureExtractor, records: Sequence[Record], skip: bool = False) -> CameraOffsets:
    """Learn camera offsets from the features of images with known cameras.

    Only a sample of each camera's images is used: see :func:`draw_by_camera`.

    Args:
        skip: leave out images that cannot be read.

    Raises:
        UserError: an image's camera is unknown; or see :func:`extract` and :meth:`CameraOffsets.from_features`.
    """
    features = extract(extractor, draw_by_camera(records), skip_unreadable=skip)
    cameras = [record.camera for record in features.records]
    pictures = [int(sha256[:16], 16) for sha256 in features.digests]
    return CameraOffsets.from_features(features.features, cameras, extractor.description.model, pictures)


def write_offsets(folder: Path, offsets: CameraOffsets) -> dict[str, Any]:
    """Write camera offsets into ``folder`` and return their entry in adapt.json."""
    with replacing(folder / OFFSETS) as part, open(part, "wb") as stream:
        offsets.save(stream)
    names, images, weights, _ = offsets.estimate
    cameras = {name: {"n": int(n), "weight": float(w)} for name, n, w in zip(names, images, weights)}
    return {"file": OFFSETS, "model": offsets.model, "n": int(images.sum()), "cameras": cameras}


def adapt_offsets(
    extractor: FeatureExtractor, records: Sequence[Record], folder: Path, skip: bool = False
) -> CameraOffsets:
    """Learn camera offsets (:func:`learn_offsets`) and write them to ``folder``, replacing an earlier adaptation."""
    offsets = learn_offsets(extractor, records, skip)
    with in_place_of(folder, written_files(folder)) as part:
        write_summary(part, {"offsets": write_offsets(part, offsets)})
    return offsets


def about(offsets: CameraOffsets) -> list[str]:
    """Lines about each camera's number of images and weight, with advice where something is wrong."""
    names, images, weights, _ = offsets.estimate
    lines = [f"camera {name}: {n} images, weight {w:.2f} of 1" for name, n, w in zip(names, images, weights)]
    few = [name for name, n in zip(names, images) if n < FEW]
    if few:
        lines.append(
            f"cameras with fewer than {FEW} images, too few for a useful offset: {', '.join(few)}; give each camera 16 "
            "to 64 images of different people"
        )
    if len(names) == 1:
        lines.append(
            "there is only one camera: subtracting its mean removes what all its images share, but aligns it with no "
            "other camera; if the site has more cameras, give images of each"
        )
    elif not weights.any():
        lines.append(
            "these images show no difference between cameras beyond chance, so all cameras share one offset: give each "
            "camera more images of different people"
        )
    lines += [
        f"cameras {' and '.join(twins)} may be one camera but count as {len(twins)}: if so, give it one name"
        for twins in offsets.cameras.twins()
    ]
    return lines
