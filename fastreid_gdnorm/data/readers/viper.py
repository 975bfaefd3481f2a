"""VIPeR."""

from .reader import Counts
from .single_shot import TwoViews


class DGVIPeR(TwoViews):
    """VIPeR (Gray and Tao 2008): 632 identities in two cameras, queries from cam_a."""

    folders = ("VIPeR", "viper/VIPeR")
    layout = "cam_a and cam_b"
    signs = ("cam_a",)
    dataset_name, letters = "viper", "V"
    published = {"query": Counts(316, 316, 1), "gallery": Counts(316, 316, 1)}
    pattern = r"(\d+)_\d+"
