"""GDNorm (AAAI 2022) for fast-reid: after ``import fastreid_gdnorm``, fast-reid has all that the plugin adds.

The import itself is quick: the plugin registers when fast-reid is first imported (import_hook.py). Without torch there
is no fast-reid, but ONNX files still run.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .import_hook import register_when_needed

if TYPE_CHECKING:
    from .inference import CameraOffsets, FeatureExtractor, Gallery

__all__ = ["CameraOffsets", "FeatureExtractor", "Gallery", "__version__"]

register_when_needed()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.inference"), name)
    if name in (module.name for module in pkgutil.iter_modules(__path__)):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__} has no attribute {name}")
