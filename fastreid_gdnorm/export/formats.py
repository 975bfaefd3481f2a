"""File formats of an export. A format writes its file and can run what it has written."""

from __future__ import annotations

import copy
import io
import warnings
from pathlib import Path
from typing import Callable, NamedTuple

import torch
from torch import Tensor, nn

from ..disk import replacing
from ..errors import UserError
from ..inference.description import CHECKPOINT_FILE, ONNX_FILE, PROPERTY, Description, ModelInput


class Format(NamedTuple):
    """A file format.

    Args:
        file: the file's name.
        write: ``write(model, description, file)`` writes ``model`` to ``file``. The model is a stock one in float32 on
            CPU in eval mode, and is not changed. ``write`` returns a function that runs the file as its users would:
            it maps the images (B, 3, H, W) that ``description`` asks for to features (B, D).
        tolerance: largest accepted difference from the trained model's features, relative to the largest feature value.
    """

    file: str
    write: Callable[[nn.Module, Description, Path], Callable[[Tensor], Tensor]]
    tolerance: float


def write_checkpoint(model: nn.Module, description: Description, file: Path) -> Callable[[Tensor], Tensor]:
    with replacing(file) as part:
        torch.save({"model": model.state_dict()}, part)
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(torch.load(file, weights_only=True)["model"])
    loaded.double()  # so that the check measures the folding, not a deep network's rounding
    return lambda images: loaded(images.double())


def write_torchscript(model: nn.Module, description: Description, file: Path) -> Callable[[Tensor], Tensor]:
    deployed = _Deployed(model, description.input, torch.channels_last).eval()  # convolutions are faster in this layout
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(deployed, _example(description), check_trace=False)  # its features are compared later
        written = io.BytesIO()  # torch aborts the process if it cannot write a file itself
        # Freezing folds every BN that directly follows a convolution into that convolution.
        torch.jit.save(torch.jit.freeze(traced), written, _extra_files={PROPERTY: description.to_property()})
        with replacing(file) as part:
            part.write_bytes(written.getbuffer())
        run: nn.Module = torch.jit.load(str(file))
        return run


def write_onnx(model: nn.Module, description: Description, file: Path) -> Callable[[Tensor], Tensor]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise UserError(f"an ONNX export needs {error.name}: pip install onnx onnxruntime") from error
    with replacing(file) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # torch's exporter folds BN into convolutions as freezing does.
        torch.onnx.export(
            _Deployed(model, description.input, torch.contiguous_format).eval(),
            (_example(description),),
            str(part),
            input_names=["images"],
            output_names=["features"],
            dynamic_axes=None if description.input.batch else {"images": {0: "batch"}, "features": {0: "batch"}},
            opset_version=13,
            dynamo=False,
        )
        written = onnx.load(str(part))
        onnx.helper.set_model_props(written, {PROPERTY: description.to_property()})
        onnx.save(written, str(part))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def run_in_openvino(file: Path) -> Callable[[Tensor], Tensor]:
    """Run an ONNX file in OpenVINO on the CPU, in float32 even where bfloat16 is its default."""
    import openvino

    network = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: torch.from_numpy(network([images.numpy()])[0])


CHECKPOINT = Format(CHECKPOINT_FILE, write_checkpoint, tolerance=1e-5)
TORCHSCRIPT = Format("model_fused.pt", write_torchscript, tolerance=1e-4)
ONNX = Format(ONNX_FILE, write_onnx, tolerance=1e-4)
ENGINES = {"openvino": run_in_openvino}  # for consumers that name an engine


class _Deployed(nn.Module):
    """A stock model that takes images (B, 3, H, W); it copies them, since fast-reid's preprocessing works in place.

    Args:
        model_input: the images' colours, range and normalisation, which are undone before the model runs.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, model_input: ModelInput, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.model = model
        self.memory_format = memory_format
        (low, high), mean, std = model_input.range, torch.tensor(model_input.mean), torch.tensor(model_input.std)
        self.is_bgr = model_input.channels == "BGR"
        self.is_scaled = (model_input.range, model_input.mean, model_input.std) != ModelInput(model_input.size)[1:4]
        self.register_buffer("scale", (std * 255 / (high - low)).view(3, 1, 1))
        self.register_buffer("shift", ((mean - low) * 255 / (high - low)).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        images = images.clone(memory_format=self.memory_format)
        if self.is_bgr:
            images = images.flip(1)
        features: Tensor = self.model(images * self.scale + self.shift if self.is_scaled else images)
        return features


def _example(description: Description) -> Tensor:
    """Images for tracing a model."""
    return torch.zeros(description.input.batch or 2, 3, *description.input.size)
