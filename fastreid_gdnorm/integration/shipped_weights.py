"""The seam at pretrained weights: the project's own are found from anywhere, and checked as published ones are."""

from ..patches import tools
from ..runs.run_config import shipped

WEIGHTS = "projects/GDNorm/weights"


def connect():
    """MODEL.BACKBONE.PRETRAIN_PATH may name a file as it is named in the project's repository."""
    tools.ROOTS.append(shipped(""))
    tools.PUBLISHED.update(file.name for file in shipped(WEIGHTS).glob("*.pth"))
