"""The project's own pretrained weights: found from any folder, and checked like published ones."""

from __future__ import annotations

from ..patches import tools
from ..runs.run_config import shipped

WEIGHTS = "projects/GDNorm/weights"


def connect() -> None:
    """Let MODEL.BACKBONE.PRETRAIN_PATH name a file by its path in the project's repository."""
    tools.ROOTS.append(shipped(""))
    tools.PUBLISHED.update(file.name for file in shipped(WEIGHTS).glob("*.pth"))
