"""The tests, in the package's order.

Toy networks are too small to share: two threads wait for each other, ten times as long once another process runs.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
