"""A path through a trained model as a stock fast-reid model, TorchScript and ONNX."""

from .model import each_camera, export_model

__all__ = ["each_camera", "export_model"]
