"""Lines for stdout."""

from __future__ import annotations

import sys

from tqdm import tqdm


def say(text: str) -> None:
    """A line on stdout that leaves progress bars whole."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
