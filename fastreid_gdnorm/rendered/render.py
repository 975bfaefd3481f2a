"""Renders a whole data set."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import tempfile
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..data.readers.market_style import DISTRACTOR, JUNK
from ..errors import UserError
from .person import Person
from .plan import CAMERAS, SUBSETS, TRAIN, Plan, Shot
from .scene import Camera, shoot
from .sensor import develop
from .styles import STYLES, DomainStyle

logger = logging.getLogger("fastreid.gdnorm.rendered")

RECORD = "rendered.json"
CAMERA_STREAM, PERSON_STREAM, IMAGE_STREAM = 1, 2, 3  # in every generator's key, after (seed, domain)


def render_domain(style: str | DomainStyle, folder: str | os.PathLike[str], plan: Plan, seed: int = 0) -> None:
    """Render the images of `plan` into `folder`, unless it already contains a data set.

    An image depends only on the seed, the style, the identity, and its number among the identity's images.

    The folder never exists half finished: images go into a temporary folder beside it, which is renamed at the end. If
    the process is killed, the temporary folder (`.<name>.*`) remains. If another process finishes first, its images
    stay.

    Args:
        style: a DomainStyle, or the name of one in STYLES.

    Raises:
        UserError: the folder contains something else.
    """
    style, folder = _style(style), os.path.abspath(folder)
    recipe = {"style": dataclasses.asdict(style), "seed": seed, **dataclasses.asdict(plan)}
    if _is_rendered(folder):
        _warn_if_other(folder, recipe)
        return
    if os.path.exists(folder) and os.listdir(folder):
        raise UserError(f"{folder} is not a rendered domain: it has no {RECORD}; remove it to render one there")

    parent, name = os.path.split(folder)
    os.makedirs(parent, exist_ok=True)
    shots = plan.shots()
    logger.info("rendering domain '%s', %d images, into %s", style.name, len(shots), folder)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=parent) as temporary:
        unfinished = os.path.join(temporary, name)
        for subset in SUBSETS:
            os.makedirs(os.path.join(unfinished, subset))
        cameras = _cameras(style, seed)
        for shot in tqdm(shots, desc=f"rendering {name}", unit="img", disable=None):
            _write(os.path.join(unfinished, shot.path), *_take(shot, style, cameras[shot.camera], seed))
        with open(os.path.join(unfinished, RECORD), "w") as file:
            json.dump({**recipe, "numpy": np.__version__, "opencv": cv2.__version__}, file, indent=2)
        try:
            os.rename(unfinished, folder)
        except OSError:
            if not _is_rendered(folder):
                raise


def render_people(style: str | DomainStyle, number: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """One uncompressed picture of each of a domain's first people, (h, w, 3) RGB; `style` as for render_domain."""
    style = _style(style)
    cameras = _cameras(style, seed)
    shots = [Shot(TRAIN, person, person, person) for person in range(1, number + 1)]
    return [_take(shot, style, cameras[shot.camera], seed)[0] for shot in shots]


def _style(style: str | DomainStyle) -> DomainStyle:
    if isinstance(style, DomainStyle):
        return style
    if style not in STYLES:
        raise ValueError(f"there is no style '{style}'; choose from {', '.join(STYLES)}")
    return STYLES[style]


def _cameras(style: DomainStyle, seed: int) -> list[Camera]:
    return [Camera.random(_generator(seed, style, CAMERA_STREAM, c), style) for c in range(CAMERAS)]


def _take(shot: Shot, style: DomainStyle, camera: Camera, seed: int) -> tuple[NDArray[np.uint8], int]:
    """The picture of a shot, (h, w, 3) uint8 RGB, and its JPEG quality."""
    rng = _generator(seed, style, IMAGE_STREAM, shot.looks, shot.number)
    nobody = shot.pid == DISTRACTOR and shot.number // CAMERAS % 2 == 0
    person = None if nobody else Person.random(_generator(seed, style, PERSON_STREAM, shot.looks), style)
    picture = shoot(camera, style, person, rng)
    if shot.pid == JUNK:  # a bad detection: only the part below the shoulders
        picture = np.asarray(cv2.resize(picture[len(picture) // 3 :], picture.shape[1::-1]), np.uint8)
    lowest, highest = style.quality
    return develop(picture, style, camera.gain, rng), int(rng.integers(lowest, highest + 1))


def _generator(seed: int, style: DomainStyle, *key: int) -> np.random.Generator:
    return np.random.default_rng([seed, style.number, *key])


def _write(path: str, picture: NDArray[np.uint8], quality: int) -> None:
    _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    with open(path, "wb") as file:
        file.write(data.tobytes())


def _is_rendered(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, RECORD))


def _warn_if_other(folder: str, recipe: dict[str, Any]) -> None:
    with open(os.path.join(folder, RECORD)) as file:
        rendered = json.load(file)
    recipe = json.loads(json.dumps(recipe))
    other = [key for key in recipe if rendered.get(key) != recipe[key]]
    if other:
        logger.warning(
            "%s was rendered with another %s: remove the folder to render it again", folder, ", ".join(other)
        )
