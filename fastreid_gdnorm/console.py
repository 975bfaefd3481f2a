"""What is said on stdout."""

import sys

from tqdm import tqdm


def say(text):
    """A line on stdout that leaves progress bars whole."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
