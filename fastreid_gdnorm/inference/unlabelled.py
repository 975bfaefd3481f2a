"""The unlabelled images of a site for ``fastreid adapt``, and their cameras."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..console import say
from ..errors import UserError
from ..image_names import canonical_camera
from ..site_cameras import SiteCameras, same_camera
from .contents import distinct
from .records import Record, find_images

if TYPE_CHECKING:
    from fastreid.config import CfgNode

MOST_IMAGES = 256  # of one camera or site; projects/GDNorm/results/sample_size.md has what more would add
NAME_THEM = "name images like Market-1501's (0002_c1s1_000451_03.jpg), or give a table with columns path and camera"


def site_images(sources: Sequence[str], cfg: CfgNode | None = None) -> list[Record]:
    """Find the images to adapt to: files, folders, patterns, tables, or the training images of registered data sets.

    Args:
        cfg: a config, needed to read data sets; without it their names are not recognised.

    Raises:
        UserError: nothing has that name.
    """
    records = []
    for source in sources:
        records += _data_set_images(source, cfg) if cfg is not None and _is_data_set(source) else find_images([source])
    return records


def _is_data_set(name: str) -> bool:
    """Whether a name is a registered data set's; tables and folders are images."""
    from fastreid.data.datasets import DATASET_REGISTRY

    from ..data import is_read_by
    from ..data.own_data import OwnData

    is_registered = name in DATASET_REGISTRY._obj_map and not is_read_by(OwnData, name)
    return is_registered and not os.path.exists(name)


def _data_set_images(name: str, cfg: CfgNode) -> list[Record]:
    from ..data import read
    from ..modeling.chosen_paths import camera_label

    return [Record(path, camera_label(path, camid)) for path, _, camid, *_ in read(cfg, name).train]


def without_copies(records: Sequence[Record]) -> list[Record]:
    """Leave out copies; printed lines count them, and name images that occur under two cameras."""
    kept, copies = distinct(records)
    if copies:
        say(f"{len(copies)} images are copies of others and count once, such as {copies[0][0].path}")
    of_two = [(copy, first) for copy, first in copies if copy.camera and not same_camera(copy.camera, first.camera)]
    if of_two:
        copy, first = of_two[0]
        pairs = sorted({f"{first.camera} and {copy.camera}" for copy, first in of_two})
        say(
            f"{len(of_two)} images are given under two cameras ({', '.join(pairs[:8])}) and count only for the first, "
            f"such as {copy.path}, a copy of {first.path}; if these are one camera, give it one name"
        )
    left = SiteCameras(record.camera for record in kept if record.camera)
    lost = {record.camera for record in records if record.camera and not left.find(record.camera)}
    if lost:
        say(f"cameras with only such copies, whose images will follow the site as a whole: {', '.join(sorted(lost))}")
    return kept


def by_camera(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Group images by camera: {camera: images}, with cameras in the form of :func:`canonical_camera`.

    Raises:
        UserError: an image's camera is unknown.
    """
    cameras: dict[str, list[Record]] = {}
    for record in records:
        camera = canonical_camera(record.camera)
        if not camera:
            raise UserError(f"a path for each camera needs the camera of {record.path}, which is unknown: {NAME_THEM}")
        cameras.setdefault(camera, []).append(record)
    return dict(sorted(cameras.items()))


def draw(records: Sequence[Record]) -> list[Record]:
    """At most MOST_IMAGES of a camera's or a site's images, drawn at random but the same ones every time.

    Which are drawn depends on their paths alone. They stay in the given order.
    """
    if len(records) <= MOST_IMAGES:
        return list(records)
    by_path = sorted(range(len(records)), key=lambda place: records[place].path)
    drawn = np.random.default_rng(0).choice(by_path, MOST_IMAGES, replace=False)
    return [records[place] for place in sorted(drawn)]


def draw_by_camera(records: Sequence[Record]) -> list[Record]:
    """:func:`draw` from each camera's images; a printed line counts those of cameras with more than MOST_IMAGES.

    Raises:
        UserError: an image's camera is unknown.
    """
    cameras = by_camera(records)
    large = [f"{camera} ({len(images)})" for camera, images in cameras.items() if len(images) > MOST_IMAGES]
    if large:
        say(f"{MOST_IMAGES} images of each camera with more are drawn at random: of cameras {', '.join(large)}")
    return [record for images in cameras.values() for record in draw(images)]
