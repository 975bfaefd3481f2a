"""GDNorm (AAAI 2022) for fast-reid: importing this registers everything with the toolbox, once.

Where torch is not installed, there is no toolbox to register with, and ONNX files can be run all the same.
"""

import importlib.util

from ._version import __version__ as __version__
from .inference import FeatureExtractor as FeatureExtractor
from .inference import Gallery as Gallery

if importlib.util.find_spec("torch"):
    from . import registration as registration
