"""The ``fastreid`` command: what it takes; the work is elsewhere, and imported when it is needed."""

import argparse
import itertools
import sys

from .errors import UserError
from .plugins import load_plugins

HELP_AS_WRITTEN = argparse.RawDescriptionHelpFormatter

DESCRIPTION = """\
Person re-identification with fast-reid, its plugins, and GDNorm: train on a few data sets, test on one never seen.

  fastreid demo                                     see it at work in a few minutes, on data drawn on the spot
  fastreid train --config-file FILE [KEY VALUE ...]
  fastreid eval  --config-file FILE [--path PATH] [KEY VALUE ...]
  fastreid paths --config-file FILE --output DIR    every source's path, the mean, the ensemble, sampled ones
  fastreid export --config-file FILE --output DIR   the mean path as a stock fast-reid model, ONNX, TorchScript
  fastreid datasets                                 what is there of the public data sets, and is it whole
  fastreid protocol 1|2                             the paper's protocols, beside the paper's numbers
  fastreid report RUN_DIR...                        all about one or more runs on one page
"""

CONFIGS = """\
A config is a YAML file of fast-reid's keys and the plugin's; it starts from another one with _BASE_. KEY VALUE
pairs override it and come last. The keys that matter most:

  DATASETS.NAMES "('DGMarket1501','DGMSMT17')"   the sources to train on, in the order of the model's branches
  DATASETS.TESTS "('DGCUHK03',)"                 the targets to test on
  OUTPUT_DIR DIR                                 checkpoints, log.txt, metrics.json, TensorBoard
  MODEL.META_ARCHITECTURE GDNormBaseline         with MODEL.BACKBONE.NAME build_gdnorm_backbone: GDNorm
  MODEL.GDNORM.BACKBONE, .LAMBDA, .NOISE, .NUM_PATHS, .HEADS, .TEST_PATH, .MEAN_OF
  DATALOADER.DOMAIN_BATCH full                   a whole batch of every source in a step, rather than one for all

The data sets lie in the folder that the environment variable FASTREID_DATASETS names (default: datasets);
fastreid datasets looks what is there.
Your own data: put it into Market-1501's folders, or register a reader as fast-reid's documentation shows.
"""

TRAIN_EXAMPLES = """\
examples:
  fastreid train --config-file projects/GDNorm/configs/demo/gdnorm.yml --seed 0 OUTPUT_DIR logs/mine
  fastreid train --config-file configs/Base-GDNorm.yml \\
      DATASETS.NAMES "('DGMSMT17','DGCUHK03')" DATASETS.TESTS "('DGMarket1501',)" OUTPUT_DIR logs/to-market
  (the same again with --resume before the first KEY goes on where it was stopped)
"""

EVAL_EXAMPLES = """\
examples:
  fastreid eval --config-file logs/mine/config.yaml
  fastreid eval --config-file logs/mine/config.yaml --path source:0 MODEL.WEIGHTS logs/mine/model_final.pth
"""

PATHS_EXAMPLES = """\
examples:
  fastreid paths --config-file logs/mine/config.yaml --output logs/mine/paths
  fastreid paths --config-file logs/mine/config.yaml --output logs/mine/paths --samples 20 --lambdas 0.2,0.6,1
"""

EXPORT_EXAMPLES = """\
examples:
  fastreid export --config-file logs/mine/config.yaml --output logs/mine/export
  fastreid export --config-file logs/mine/config.yaml --output logs/mine/export --onnx --fuse
"""

DATASETS_EXAMPLES = """\
examples:
  fastreid datasets
  fastreid datasets --no-decode DGMarket1501 DGMSMT17 DATASETS.MSMT17.VERSION V2
  fastreid datasets --config-file projects/GDNorm/configs/protocol1/gdnorm.yml
"""

PROTOCOL_EXAMPLES = """\
examples:
  fastreid protocol 1
  fastreid protocol 2 --methods gdnorm,branches,balanced --only 'D+C3+MT->M'
  fastreid protocol 2 --variant cuhk-sysu DATASETS.MSMT17.VERSION V2
  fastreid protocol 2 --only 'D+C3+MT->M' --eval-only --weights logs/mine/model_final.pth
"""

REPORT_EXAMPLES = """\
examples:
  fastreid report logs/mine
  fastreid report logs/demo/baseline logs/demo/branches logs/demo/gdnorm --output logs/demo/report
"""


def main(argv=None):
    """Run the command; the exit status: 0 done, 2 the user's mistake, 130 Ctrl-C."""
    load_plugins()
    args = parse(argv)
    try:
        args.run(args)
    except UserError as error:
        print(f"fastreid {args.command}: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fastreid {args.command}: stopped", file=sys.stderr)
        return 130
    return 0


def parse(argv=None):
    """The arguments of a command line; exits where it makes no sense."""
    parser = build_parser()
    args, rest = parser.parse_known_args(argv)
    if rest and ("opts" not in args or any(word.startswith("--") for word in rest)):
        parser.error(f"fastreid {args.command} does not know {' '.join(rest)}")
    if rest:
        args.opts = [*args.opts, *rest]  # argparse ends a list of words at the first option after it
    return args


def build_parser():
    """The parser of all commands."""
    parser = argparse.ArgumentParser("fastreid", description=DESCRIPTION, formatter_class=HELP_AS_WRITTEN)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_train(commands)
    _add_eval(commands)
    _add_demo(commands)
    _add_paths(commands)
    _add_export(commands)
    _add_datasets(commands)
    _add_protocol(commands)
    _add_report(commands)
    return parser


def _add_train(commands):
    from fastreid.engine import default_argument_parser

    parser = commands.add_parser(
        "train",
        help="train on DATASETS.NAMES and test on DATASETS.TESTS",
        description="Train with fast-reid's DefaultTrainer, and test.\n\n" + CONFIGS,
        epilog=TRAIN_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
        parents=[default_argument_parser()],
        conflict_handler="resolve",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="the key SEED: runs with one seed are the same on CPU")
    parser.set_defaults(run=_train)


def _add_eval(commands):
    parser = commands.add_parser(
        "eval",
        help="test a trained model on DATASETS.TESTS",
        description="Test the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR.\n\n" + CONFIGS,
        epilog=EVAL_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    _add_config_file(parser)
    parser.add_argument(
        "--path",
        metavar="PATH",
        help="the path to test along: mean, source:K (the K-th of DATASETS.NAMES, from 0), sample:SEED, or ensemble "
        "(features averaged over the sources); default: MODEL.GDNORM.TEST_PATH",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="for test_results.csv and .json; default: OUTPUT_DIR/eval, with the path's name"
    )
    _add_overrides(parser)
    parser.set_defaults(run=_eval)


def _add_demo(commands):
    parser = commands.add_parser(
        "demo",
        help="baselines, branches only and GDNorm on drawn domains: one table, a few minutes on two cores",
        description="Draw four domains of people, and train on three of them: a small baseline, one with balanced\n"
        "batches, one with branches only and one with GDNorm. Test all on the fourth, which none has seen.\n"
        "Runs that are done are kept.",
        formatter_class=HELP_AS_WRITTEN,
    )
    parser.add_argument("--output", default="logs/demo", metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=_demo)


def _add_paths(commands):
    parser = commands.add_parser(
        "paths",
        help="test every source's path, the mean path, the ensemble and sampled paths: the paper's Figure 2, Table 5",
        description="Test the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR, on DATASETS.TESTS,\n"
        "along every source's path, the mean path, the ensemble of sources and sampled paths. Images are\n"
        "decoded once and kept in memory (3 bytes a pixel). Stop at any moment: the same command goes on.\n\n"
        + CONFIGS,
        epilog=PATHS_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    _add_config_file(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="for tables and figures")
    parser.add_argument(
        "--samples", type=int, default=100, metavar="N", help="paths at each lambda; default: %(default)s"
    )
    parser.add_argument(
        "--lambdas",
        type=_numbers,
        default="0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1",
        metavar="L,L,...",
        help="of Eq. 11; default: %(default)s",
    )
    _add_overrides(parser)
    parser.set_defaults(run=_paths)


def _add_export(commands):
    parser = commands.add_parser(
        "export",
        help="a trained model as a stock fast-reid model, ONNX or TorchScript, checked before it is done",
        description="Fold a path of the checkpoint MODEL.WEIGHTS, by default the last one in OUTPUT_DIR, into a model\n"
        "that stock fast-reid loads: config.yaml, model.pth and manifest.json. What is written is run on drawn people\n"
        "and compared with the trained model.\n\n" + CONFIGS,
        epilog=EXPORT_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    _add_config_file(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="where the files go")
    parser.add_argument(
        "--path", default="mean", metavar="PATH", help="mean, source:K or sample:SEED; default: %(default)s"
    )
    parser.add_argument(
        "--onnx", action="store_true", help="also model.onnx: RGB images (B, 3, H, W) from 0 to 255, to features (B, D)"
    )
    parser.add_argument(
        "--fuse", action="store_true", help="also model_fused.pt, TorchScript with BN folded into the convolutions"
    )
    _add_overrides(parser)
    parser.set_defaults(run=_export)


def _numbers(text):
    return tuple(map(float, text.split(",")))


def _add_datasets(commands):
    parser = commands.add_parser(
        "datasets",
        help="what is there of the public data sets, and whether it is whole",
        description="Look for data sets, count their identities, images and cameras, compare them with what is\n"
        "published, and decode every image. projects/GDNorm/DATASETS.md says where to get them and what lies where.\n"
        "Exit status 2 if a data set that was named, or that the config names, is missing or wrong.",
        epilog=DATASETS_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    parser.add_argument("--root", metavar="DIR", help="where they lie; default: $FASTREID_DATASETS, or datasets")
    parser.add_argument("--config-file", metavar="FILE", help="check what this config trains and tests on")
    parser.add_argument("--no-decode", dest="decode", action="store_false", help="do not read the images' contents")
    parser.add_argument("opts", nargs="*", metavar="NAME ... KEY VALUE ...", help="default: all of both protocols")
    parser.set_defaults(run=_datasets)


def _add_protocol(commands):
    parser = commands.add_parser(
        "protocol",
        usage="fastreid protocol {1,2} [options] [KEY VALUE ...]",
        help="the trainings and tests of the paper's protocol 1 or 2, beside the paper's numbers",
        description="Protocol 1: train on all images of M, D, C2, C3 and CS, test on VIPeR, PRID, GRID and i-LIDS,\n"
        "ten splits each. Protocol 2: train on three of M, D, C3 and MT, test on the fourth.\n\n"
        "Every run is as by fastreid train with a config of projects/GDNorm/configs/protocol1 or protocol2. Stop at\n"
        "any moment: the same command again keeps what is done and goes on with what is not. Writes comparison.md,\n"
        ".csv, .json and .png.",
        epilog=PROTOCOL_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    parser.add_argument("number", type=int, choices=(1, 2))
    parser.add_argument("--output", metavar="DIR", help="default: logs/protocolN, or logs/protocolN-VARIANT")
    parser.add_argument(
        "--methods",
        default="gdnorm",
        metavar="A,B",
        help="of gdnorm, branches, balanced (a baseline that differs "
        "from GDNorm in the branches alone), baseline (the paper's); default: %(default)s",
    )
    parser.add_argument(
        "--variant", metavar="NAME", help="as later papers do: without-duke (1); all-images, cuhk-sysu for Duke (2)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="DIRECTION", help="such as 'D+C3+MT->M'; may be repeated"
    )
    parser.add_argument("--eval-only", action="store_true", help="only test: --weights, or the last ones in --output")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[DIRECTION=]FILE",
        help="with --eval-only, the checkpoint to test; may be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="default: %(default)s")
    parser.set_defaults(run=_protocol, opts=[])


def _add_report(commands):
    parser = commands.add_parser(
        "report",
        help="one page about runs: results with deltas, curves, the Gaussian process, ranked results",
        description="Write report.html, which needs no other file and no network, and the same as report.md.\n\n"
        "A RUN_DIR is an OUTPUT_DIR of fastreid train. The first is what the others are compared with. A path sweep\n"
        "is looked for in RUN_DIR/paths. Ranked results need the targets' images, and take as long as a test.",
        epilog=REPORT_EXAMPLES,
        formatter_class=HELP_AS_WRITTEN,
    )
    parser.add_argument("run_dirs", nargs="+", metavar="RUN_DIR")
    parser.add_argument("--output", metavar="DIR", help="default: RUN_DIR/report, for several runs ./report")
    parser.set_defaults(run=_report)


def _add_config_file(parser):
    parser.add_argument("--config-file", required=True, metavar="FILE", help="as for training, or a run's config.yaml")


def _add_overrides(parser):
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE ...", help="config keys to override")


def _train(args):
    from .engine.run import train

    train(args)


def _eval(args):
    from .engine.run import evaluate_command

    evaluate_command(args)


def _demo(args):
    from .demo import demo

    demo(args.output)


def _paths(args):
    from .paths import paths

    paths(args.config_file, args.output, args.samples, args.lambdas, args.opts)


def _export(args):
    from .export import export

    export(args.config_file, args.output, args.path, args.onnx, args.fuse, args.opts)


def _datasets(args):
    from .datasets import datasets

    names = list(itertools.takewhile(lambda word: "." not in word, args.opts))
    datasets(names, args.opts[len(names) :], args.config_file, args.root, args.decode)


def _protocol(args):
    from .protocol import protocol

    variant = f"-{args.variant}" if args.variant else ""
    protocol(
        args.number,
        args.output or f"logs/protocol{args.number}{variant}",
        args.methods.split(","),
        args.variant,
        args.only,
        args.eval_only,
        args.weights,
        args.seed,
        args.opts,
    )


def _report(args):
    from .report.page import report

    report(args.run_dirs, args.output)


def _one_line(error):
    # from a loader's worker process an error comes with its traceback, whose last line it is
    return str(error).strip().splitlines()[-1].split("UserError: ")[-1]
