"""The programs that load exports, and what each of them feeds into the network.

The preprocessing follows each program's source code: ``fast_reid/fast_reid_interfece.py`` of BoT-SORT,
``reid/core/crops.py`` and ``reid/core/preprocessing.py`` of BoxMOT 25.0.0, ``trackers/utils/reid.py`` of Ultralytics
8.4.190, ``utils/ie_tools.py`` of Open Model Zoo's multi-camera demo. That of DeepStream follows the documentation of
its nvtracker, which does not say how it interpolates: OpenCV's way is a guess.
"""

from __future__ import annotations

from typing import NamedTuple

Colour = tuple[float, float, float]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ULTRALYTICS = "8.4.175"  # the first release that crops rectangles; earlier ones crop squares


class Consumer(NamedTuple):
    """A program that loads an export.

    Args:
        file: the file with the model: the checkpoint or model.onnx, which do not depend on the program, or one that is
            written for it.
        resize: how it resizes a crop, a name in ``export.resizing.RESIZES``.
        use: how to point the program at the files; ``{folder}`` is the export's folder.
        note: what else its users should know, or "".
        sidecar: name of the file that ``export.sidecars`` writes beside ``file``, or "".
        channels, range, mean, std, batch: the network's input, as in ``inference.description.ModelInput``.
        engine: the package that runs the file when it is checked, if neither torch nor onnxruntime.
    """

    file: str
    resize: str
    use: str
    note: str = ""
    sidecar: str = ""
    channels: str = "RGB"
    range: tuple[int, int] = (0, 255)
    mean: Colour = (0, 0, 0)
    std: Colour = (1, 1, 1)
    batch: int | None = None
    engine: str = ""

    @property
    def takes(self) -> str:
        """The network's input in words."""
        normalised = ", normalised with ImageNet's mean and std" if self.mean == IMAGENET_MEAN else ""
        return "{} from {} to {}".format(self.channels, *self.range) + normalised + ", one at a time" * bool(self.batch)


CONSUMERS = {
    "fastreid": Consumer(
        "model.pth",
        "pillow",
        "--config-file {folder}/config.yaml MODEL.WEIGHTS {folder}/model.pth",
        note="the model normalises",
    ),
    "botsort": Consumer(
        "model.pth",
        "opencv",
        "--with-reid --fast-reid-config {folder}/config.yaml --fast-reid-weights {folder}/model.pth",
        note="BoT-SORT expects 2,048 features",
    ),
    "boxmot": Consumer(
        "model_boxmot.onnx",
        "opencv",
        "boxmot track --reid {folder}/model_boxmot.onnx",
        sidecar="model_boxmot.onnx.metadata.json",
        range=(0, 1),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    ),
    "ultralytics": Consumer(
        "model_ultralytics.onnx",
        "torch",
        "in the tracker's YAML file: with_reid: True, model: {folder}/model_ultralytics.onnx",
        note=f"Ultralytics {ULTRALYTICS} or newer",
        range=(0, 1),
    ),
    "openvino": Consumer(
        "model_openvino.onnx",
        "opencv",
        "in Open Model Zoo's demos: -m_reid {folder}/model_openvino.onnx",
        note="checked in OpenVINO",
        channels="BGR",
        batch=1,
        engine="openvino",
    ),
    "deepstream": Consumer(
        "model.onnx",
        "opencv",
        "in nvtracker's YAML file: the section ReID of {folder}/deepstream_reid.yml",
        note="from DeepStream's documentation, not run in DeepStream",
        sidecar="deepstream_reid.yml",
    ),
}
