"""fast-reid readers of the rendered domains."""

import os
import re

from fastreid.data.datasets.bases import ImageDataset

from .draw import GALLERY, QUERY, TRAIN, draw_domain


class RenderedDomain(ImageDataset):
    """A rendered data set in `root/<class name>`, drawn there when first asked for.

    Identities and cameras are as in fast-reid's reader of Market-1501: for training strings that carry
    `dataset_name`, for testing integers, with 0 for distractors; junk, -1, is left out.
    """

    style = None  # a name in STYLES; what a subclass sets
    _junk_pids = [0, -1]  # what combineall leaves out

    def __init__(self, root="datasets", **kwargs):
        folder = os.path.join(root, type(self).__name__)
        draw_domain(self.style, folder)
        super().__init__(
            lambda: self._read(os.path.join(folder, TRAIN), "{0}_{1}".format),
            lambda: self._read(os.path.join(folder, QUERY), lambda _, number: number),
            lambda: self._read(os.path.join(folder, GALLERY), lambda _, number: number),
            **kwargs,
        )

    def _read(self, folder, label):
        items = []
        for name in sorted(os.listdir(folder)):
            pid, camera = map(int, re.match(r"(-?\d+)_c(\d)", name).groups())
            if pid != -1:
                labels = (label(self.dataset_name, number) for number in (pid, camera - 1))
                items.append((os.path.join(folder, name), *labels))
        return items


class RenderedStreet(RenderedDomain):
    """A city street in daylight: middling in everything."""

    style, dataset_name = "street", "renderedstreet"


class RenderedMall(RenderedDomain):
    """A shopping mall: warm and bright, seen from above, tight crops of varied size."""

    style, dataset_name = "mall", "renderedmall"


class RenderedStation(RenderedDomain):
    """A railway platform in winter: small, grey, blurred and heavily compressed."""

    style, dataset_name = "station", "renderedstation"


class RenderedCampus(RenderedDomain):
    """A campus in summer: saturated, contrasty, loosely cropped."""

    style, dataset_name = "campus", "renderedcampus"


class RenderedNight(RenderedDomain):
    """A street at night: dark, noisy, lit by yellow lamps."""

    style, dataset_name = "night", "renderednight"


RENDERED_DOMAINS = (RenderedStreet, RenderedMall, RenderedStation, RenderedCampus, RenderedNight)
