"""The file formats of an export. A format writes its file and runs what it has written."""

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
    """A kind of file.

    Args:
        file: its name.
        write: ``write(model, description, file)`` puts ``model``, a stock one in float32 on CPU in eval mode, into
            ``file``. It returns a function of images (B, 3, H, W), as ``description`` says, to features (B, D), which
            runs what is in the file as its users would. The model is not changed.
        tolerance: how far features may be from the trained model's, in parts of the largest feature.
    """

    file: str
    write: Callable[[nn.Module, Description, Path], Callable[[Tensor], Tensor]]
    tolerance: float


def write_checkpoint(model: nn.Module, description: Description, file: Path) -> Callable[[Tensor], Tensor]:
    with replacing(file) as part:
        torch.save({"model": model.state_dict()}, part)
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(torch.load(file, weights_only=True)["model"])
    loaded.double()  # so that what is compared is the folding, not the rounding of a deep network
    return lambda images: loaded(images.double())


def write_torchscript(model: nn.Module, description: Description, file: Path) -> Callable[[Tensor], Tensor]:
    deployed = _Deployed(model, description.input, torch.channels_last).eval()  # in this order convolutions are faster
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(deployed, _some(description), check_trace=False)  # what it gives is compared anyway
        # freezing folds every BN that directly follows a convolution into it
        written = io.BytesIO()  # as torch ends the whole process where a file cannot be written
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
        raise UserError(f"an ONNX file needs {error.name}: pip install onnx onnxruntime") from error
    with replacing(file) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # torch's exporter folds BN as freezing does
        torch.onnx.export(
            _Deployed(model, description.input, torch.contiguous_format).eval(),
            (_some(description),),
            str(part),
            input_names=["images"],
            output_names=["features"],
            dynamic_axes={"images": {0: "batch"}, "features": {0: "batch"}},
            opset_version=13,
            dynamo=False,
        )
        written = onnx.load(str(part))
        onnx.helper.set_model_props(written, {PROPERTY: description.to_property()})
        onnx.save(written, str(part))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


CHECKPOINT = Format(CHECKPOINT_FILE, write_checkpoint, tolerance=1e-5)
TORCHSCRIPT = Format("model_fused.pt", write_torchscript, tolerance=1e-4)
ONNX = Format(ONNX_FILE, write_onnx, tolerance=1e-4)


class _Deployed(nn.Module):
    """``model`` on a copy of images (B, 3, H, W), not on batches of fast-reid's, whose preprocessing works in place.

    Args:
        takes: what the images are; what was done to them is undone.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, model: nn.Module, takes: ModelInput, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.model = model
        self.memory_format = memory_format
        (low, high), mean, std = takes.range, torch.tensor(takes.mean), torch.tensor(takes.std)
        self.is_plain = takes == ModelInput(takes.size)
        self.register_buffer("scale", (std * 255 / (high - low)).view(3, 1, 1))
        self.register_buffer("shift", ((mean - low) * 255 / (high - low)).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        images = images.clone(memory_format=self.memory_format)
        features: Tensor = self.model(images if self.is_plain else images * self.scale + self.shift)
        return features


def _some(description: Description) -> Tensor:
    """Images to trace a model with."""
    return torch.zeros(2, 3, *description.input.size)
