"""Features of images, galleries to search, thresholds. With an ONNX file this needs no torch and no fast-reid."""

from .camera_offsets import CameraOffsets
from .feature_extractor import FeatureExtractor
from .gallery import Gallery

__all__ = ["CameraOffsets", "FeatureExtractor", "Gallery"]
