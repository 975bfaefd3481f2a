"""PRID 2011, single shot."""

import os

from .reader import Counts, list_images
from .single_shot import TwoViews

SHARED = 200  # the identities 1 to 200 are the same in both views; from there on the numbers say nothing


class DGPRID(TwoViews):
    """PRID 2011 (Hirzer et al. 2011): 200 identities in two cameras, queries from cam_a, and 549 in cam_b alone."""

    folders = ("prid_2011", "prid2011/prid_2011")
    layout = "single_shot with cam_a and cam_b"
    dataset_name, letters = "prid", "P"
    published = {"query": Counts(100, 100, 1), "gallery": Counts(649, 649, 1)}

    def read_views(self):
        cam_a, cam_b = (
            [(path, pid, camera) for path, pid in list_images(self._view(view), r"person_(\d+)\.png")]
            for camera, view in enumerate(("cam_a", "cam_b"))
        )
        return [item for item in cam_a if item[1] <= SHARED], cam_b

    def _view(self, view):
        return os.path.join(self.folder, "single_shot", view)
