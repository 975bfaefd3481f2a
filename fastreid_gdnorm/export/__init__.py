"""Export one path through a trained model as a stock fast-reid model, TorchScript or ONNX."""

from .model import check_output, each_camera, export_model

__all__ = ["check_output", "each_camera", "export_model"]
