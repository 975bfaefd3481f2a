"""The tests, in the package's order.

Toy networks are too small for two threads, which would mostly wait for each other, ten times as long if another
process is running.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported
