"""``fastreid export``: a trained model for those who do not have the plugin."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ._config import ABOUT_CONFIGS, add_config_file, add_overrides

SUMMARY = "a trained model as a stock fast-reid model, ONNX or TorchScript, checked before it is done"
DESCRIPTION = (
    "Fold a path of the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR, into a model\n"
    "that stock fast-reid loads: config.yaml, model.pth and manifest.json. What is written is run on random\n"
    "pictures and compared with the trained model.\n\n"
    "With --for, also what other programs load, checked by feeding it drawn people as they do:\n\n"
    "  fastreid      config.yaml and model.pth: RGB from 0 to 255, normalised by the model\n"
    "  botsort       the same two; BoT-SORT expects 2,048 features\n"
    "  boxmot        model_boxmot.onnx: RGB from 0 to 1, normalised by ImageNet's mean and std; and its sidecar\n"
    "  ultralytics   model_ultralytics.onnx: RGB from 0 to 1\n\n"
    "A file of one loads in the others too, and gives wrong features there without a word. What a file takes\n"
    "is said in manifest.json and in the ONNX file's own metadata.\n\n"
    "An export holds no site, as programs do not tell it the cameras of images. fastreid can follow one with it:\n"
    "fastreid extract --model EXPORT --site DIR, where DIR is of fastreid adapt, of the run by features, or of the\n"
    "export itself.\n\n" + ABOUT_CONFIGS
)
EXAMPLES = """\
examples:
  fastreid export --config-file logs/mine/config.yaml --output logs/mine/export
  fastreid export --config-file logs/mine/config.yaml --output logs/mine/export --onnx --fuse
  fastreid export --config-file logs/mine/config.yaml --output logs/mine/export --for boxmot --for ultralytics

then, for instance:
  boxmot track --reid logs/mine/export/model_boxmot.onnx ...
  in Ultralytics' tracker YAML: with_reid: True and model: logs/mine/export/model_ultralytics.onnx
  BoT-SORT: --with-reid --fast-reid-config logs/mine/export/config.yaml
            --fast-reid-weights logs/mine/export/model.pth
"""
CONSUMERS = ("fastreid", "botsort", "boxmot", "ultralytics")


def add_arguments(parser: ArgumentParser) -> None:
    add_config_file(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    parser.add_argument(
        "--path",
        default="mean",
        metavar="PATH",
        help="mean, source:K, sample:SEED, weighted:W,W,... (a weight for each source) or posterior:FILE; of a "
        "folder of fastreid adapt --by norms --by-camera, a folder for each camera; default: %(default)s",
    )
    parser.add_argument(
        "--onnx", action="store_true", help="also model.onnx: RGB images (B, 3, H, W) from 0 to 255, to features (B, D)"
    )
    parser.add_argument(
        "--fuse", action="store_true", help="also model_fused.pt, TorchScript with BN folded into the convolutions"
    )
    parser.add_argument(
        "--for", dest="consumers", action="append", default=[], choices=CONSUMERS, help="may be given several times"
    )
    add_overrides(parser)


def run(args: Namespace) -> None:
    from ..console import say
    from ..export import check_output, each_camera, export_model
    from ..inference.description import MANIFEST
    from ..site_files import has_offsets

    paths = each_camera(args.path, args.output)
    for folder in paths:
        check_output(folder, args.onnx, args.fuse, args.consumers)
    for folder, path in paths.items():
        export_model(args.config_file, folder, path, args.onnx, args.fuse, args.consumers, args.opts)
    place = args.path.partition(":")[2]
    if place and has_offsets(place):
        say(f"the camera offsets beside {args.path} go into no export: features along each camera's path need the run")
    output = Path(args.output)
    others = {file.parent for file in (*output.glob(MANIFEST), *output.glob(f"*/{MANIFEST}"))}.difference(paths)
    if others:
        say(f"of earlier exports, and left as they are: {', '.join(map(str, sorted(others)))}")
