"""A path through a trained model as a stock fast-reid model, TorchScript and ONNX."""

from .model import export_model

__all__ = ["export_model"]
