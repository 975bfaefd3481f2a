"""Writing a whole rendered data set, in the folders and naming of Market-1501."""

import dataclasses
import json
import logging
import os
import tempfile
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import UserError
from .develop import develop
from .person import Person
from .scene import Camera, shoot
from .styles import STYLES

logger = logging.getLogger("fastreid.gdnorm.rendered")

CAMERAS = 4
RECORD = "rendered.json"
TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"

CAMERA_STREAM, PERSON_STREAM, IMAGE_STREAM = 1, 2, 3  # follow (seed, domain) in every generator's key
STRANGERS = 10000  # distractors and junk get their looks from here on


class Shot(NamedTuple):
    """One image to take."""

    subset: str  # TRAIN, QUERY or GALLERY
    pid: int  # as the file is named: 0 is a distractor, -1 junk
    looks: int  # seeds the identity
    number: int  # among the identity's images; the camera is number % CAMERAS


def draw_domain(style_name, folder, *, train_ids=60, test_ids=40, images_per_id=8, distractors=40, junk=6, seed=0):
    """Draw the data set of one style into `folder`, unless it holds one already.

    Identities 1..train_ids are for training, the next test_ids for testing. The cameras take an identity's
    images in turn, and each test identity has a query from each of two cameras. An image depends on the seed,
    the style, the identity and its number among the identity's images, on nothing else.

    The folder appears whole or not at all: all is drawn into a temporary sibling (`.<name>.*`, which is what a
    kill leaves) and renamed at the end. Where another process has finished first, its drawing stays.
    """
    if style_name not in STYLES:
        raise ValueError(f"no rendered style '{style_name}': choose one of {', '.join(STYLES)}")
    if images_per_id < 3:
        raise ValueError(f"images_per_id is {images_per_id}: two queries and a gallery image need 3 or more")
    if not 2 <= train_ids + test_ids <= 1501:
        raise ValueError(f"train_ids + test_ids is {train_ids + test_ids}: Market-1501 numbers 2 to 1501")
    style, folder = STYLES[style_name], os.path.abspath(folder)
    recipe = {
        "style": dataclasses.asdict(style),
        "seed": seed,
        "train_ids": train_ids,
        "test_ids": test_ids,
        "images_per_id": images_per_id,
        "distractors": distractors,
        "junk": junk,
    }
    if _is_drawn(folder):
        _warn_if_other(folder, recipe)
        return
    if os.path.exists(folder) and os.listdir(folder):
        raise UserError(f"{folder} is no rendered domain (no {RECORD} in it): remove it to have one drawn")

    parent, name = os.path.split(folder)
    os.makedirs(parent, exist_ok=True)
    shots = plan_shots(train_ids, test_ids, images_per_id, distractors, junk)
    logger.info("drawing rendered domain '%s', %d images, into %s", style.name, len(shots), folder)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=parent) as workplace:
        drawing = os.path.join(workplace, name)
        for subset in (TRAIN, QUERY, GALLERY):
            os.makedirs(os.path.join(drawing, subset))
        cameras = [Camera.random(_generator(seed, style, CAMERA_STREAM, c), style) for c in range(CAMERAS)]
        for shot in tqdm(shots, desc=f"drawing {name}", unit="img", disable=None):
            _write(os.path.join(drawing, shot.subset, _file_name(shot)), *_take(shot, style, cameras, seed))
        with open(os.path.join(drawing, RECORD), "w") as file:
            json.dump({**recipe, "numpy": np.__version__, "opencv": cv2.__version__}, file, indent=2)
        try:
            os.rename(drawing, folder)
        except OSError:
            if not _is_drawn(folder):
                raise


def plan_shots(train_ids, test_ids, images_per_id, distractors, junk):
    """Every image of a data set as a list of `Shot`."""
    shots = [Shot(TRAIN, pid, pid, n) for pid in range(1, train_ids + 1) for n in range(images_per_id)]
    for pid in range(train_ids + 1, train_ids + test_ids + 1):
        seen_by = min(CAMERAS, images_per_id)
        queries = (pid % seen_by, (pid + 2) % seen_by)
        shots += [Shot(QUERY if n in queries else GALLERY, pid, pid, n) for n in range(images_per_id)]
    shots += [Shot(GALLERY, 0, STRANGERS + n, n) for n in range(distractors)]
    shots += [Shot(GALLERY, -1, STRANGERS + distractors + n, n) for n in range(junk)]
    return shots


def _take(shot, style, cameras, seed):
    """The picture of a shot as (h, w, 3) uint8 RGB, and the JPEG quality to keep it in."""
    rng = _generator(seed, style, IMAGE_STREAM, shot.looks, shot.number)
    camera = cameras[shot.number % CAMERAS]
    nobody = shot.pid == 0 and shot.number // CAMERAS % 2 == 0
    person = None if nobody else Person.random(_generator(seed, style, PERSON_STREAM, shot.looks), style)
    picture = shoot(camera, style, person, rng)
    if shot.pid == -1:  # a detection that missed: what is below the shoulders
        picture = cv2.resize(picture[len(picture) // 3 :], picture.shape[1::-1])
    lowest, highest = style.quality
    return develop(picture, style, camera.gain, rng), int(rng.integers(lowest, highest + 1))


def _generator(seed, style, *key):
    return np.random.default_rng([seed, style.number, *key])


def _file_name(shot):
    pid = "-1" if shot.pid == -1 else f"{shot.pid:04d}"
    frame = 51 + 100 * max(shot.pid, 0) + 25 * shot.number
    return f"{pid}_c{shot.number % CAMERAS + 1}s1_{frame:06d}_00.jpg"


def _write(path, picture, quality):
    _, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    with open(path, "wb") as file:
        file.write(data.tobytes())


def _is_drawn(folder):
    return os.path.isfile(os.path.join(folder, RECORD))


def _warn_if_other(folder, recipe):
    with open(os.path.join(folder, RECORD)) as file:
        drawn = json.load(file)
    recipe = json.loads(json.dumps(recipe))
    other = [key for key in recipe if drawn.get(key) != recipe[key]]
    if other:
        logger.warning(
            "%s was drawn with another %s: remove the folder to have it drawn anew", folder, ", ".join(other)
        )
