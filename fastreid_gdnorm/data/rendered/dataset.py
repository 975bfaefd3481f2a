"""fast-reid readers of the rendered domains."""

import os

from fastreid.data.datasets.bases import ImageDataset
from fastreid.data.datasets.market1501 import Market1501

from .draw import GALLERY, QUERY, TRAIN, draw_domain


class RenderedDomain(Market1501):
    """A rendered data set in `root/<class name>`, drawn there when first asked for.

    Identities and cameras come as Market-1501's reader gives them: for training as strings that carry
    `dataset_name`, for testing as integers, with 0 for distractors.
    """

    style = None   # a name in STYLES; what a subclass sets

    def __init__(self, root="datasets", **kwargs):
        folder = os.path.join(root, type(self).__name__)
        draw_domain(self.style, folder)
        # Past Market1501's own, which looks for Market-1501's folder names.
        ImageDataset.__init__(
            self,
            lambda: self.process_dir(os.path.join(folder, TRAIN)),
            lambda: self.process_dir(os.path.join(folder, QUERY), is_train=False),
            lambda: self.process_dir(os.path.join(folder, GALLERY), is_train=False),
            **kwargs,
        )

    def process_dir(self, dir_path, is_train=True):
        """Market1501's own, in the order of the file names."""
        return sorted(super().process_dir(dir_path, is_train))


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
