"""Runs the examples in the docstrings of public names."""

import doctest
import importlib
import pkgutil

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from torch import nn

import fastreid_gdnorm
from fastreid_gdnorm import layers
from fastreid_gdnorm.inference.description import PROPERTY, Description, ModelInput

MODULES = [f"{layers.__name__}.{module.name}" for module in pkgutil.iter_modules(layers.__path__)]
MODULES += [f"fastreid_gdnorm.inference.{name}" for name in ("camera_offsets", "feature_extractor", "gallery")]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder to work in, with images and a network in ONNX whose features are an image's mean colours."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crops").mkdir()
    for name, colour in (("a.jpg", (200, 40, 20)), ("b.jpg", (20, 60, 180))):
        for folder in (tmp_path, tmp_path / "crops"):
            Image.fromarray(np.full((16, 8, 3), colour, np.uint8)).save(folder / name)
    nodes = [helper.make_node("ReduceMean", ["images"], ["features"], axes=[2, 3], keepdims=0)]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 16, 8])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "colours", [images], [features])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    description = Description("m" * 64, "cosine", 3, ModelInput((16, 8)))
    helper.set_model_props(model, {PROPERTY: description.to_property()})
    onnx.save(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name, files):
    public = {name: getattr(layers, name) for name in layers.__all__}
    with torch.random.fork_rng():
        failed, _ = doctest.testmod(importlib.import_module(name), extraglobs={**public, "nn": nn, "torch": torch})
    assert not failed, "see doctest's output"


def test_public_classes_and_conversions_have_an_example():
    needed = [getattr(fastreid_gdnorm, name) for name in fastreid_gdnorm.__all__ if name != "__version__"]
    needed += [value for value in map(layers.__dict__.get, layers.__all__) if isinstance(value, type)]
    needed += [layers.convert_gdnorm, layers.fold_gdnorm, layers.follow]
    assert [value.__name__ for value in needed if ">>> " not in value.__doc__] == ["Path"], "which is abstract"
