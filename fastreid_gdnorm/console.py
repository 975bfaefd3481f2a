"""Lines on stdout."""

from __future__ import annotations

import sys

from tqdm import tqdm


def say(text: str) -> None:
    """Print a line without breaking progress bars."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
