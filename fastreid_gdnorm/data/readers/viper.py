"""VIPeR."""

import os

from .reader import Counts, list_images
from .single_shot import TwoViews


class DGVIPeR(TwoViews):
    """VIPeR (Gray and Tao 2008): 632 identities in two cameras, queries from cam_a."""

    folders = ("VIPeR", "viper/VIPeR")
    layout = "cam_a and cam_b"
    dataset_name, letters = "viper", "V"
    published = {"query": Counts(316, 316, 1), "gallery": Counts(316, 316, 1)}

    def read_views(self):
        return (
            [(path, pid, camera) for path, pid, _ in list_images(os.path.join(self.folder, view), r"(\d+)_(\d+)\.bmp")]
            for camera, view in enumerate(("cam_a", "cam_b"))
        )
