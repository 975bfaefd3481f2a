"""The ``fastreid`` command: a loop over the modules of ``commands``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import pkgutil
import re
import sys
from collections.abc import Sequence

from . import commands
from .errors import Failure, UserError
from .interrupts import ending_on_ctrl_c
from .plugins import load_plugins

HAS_TORCH = importlib.util.find_spec("torch") is not None  # without it there are the commands that need none

DESCRIPTION = """\
Person re-identification with fast-reid, its plugins, and GDNorm: train on a few data sets, test on one never seen.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0 done, 2 the user's mistake, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be UTF-8, and a terminal need not know all of it
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    args = parse(sys.argv[1:] if argv is None else argv)
    try:
        with ending_on_ctrl_c():
            load_plugins()
            args.run(args)
    except UserError as error:
        print(f"fastreid {args.command}: {_one_line(error)}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"fastreid {args.command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if HAS_TORCH:
            raise
        print(f"fastreid {args.command}: needs {error.name}, which is not installed here", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fastreid {args.command}: stopped", file=sys.stderr)
        return 130
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command line; exits where it makes no sense."""
    parser = build_parser(next((word for word in argv if not word.startswith("-")), ""))
    args, rest = parser.parse_known_args(argv)
    if rest and ("opts" not in args or any(word.startswith("--") for word in rest)):
        parser.error(f"fastreid {args.command} does not know {' '.join(rest)}")
    if rest:
        args.opts = [*args.opts, *rest]  # argparse ends a list of words at the first option after it
    return args


def build_parser(chosen: str) -> argparse.ArgumentParser:
    """The parser of all commands, with the arguments of the one that is chosen."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("fastreid", description=DESCRIPTION, formatter_class=as_written)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in (module.name for module in pkgutil.iter_modules(commands.__path__)):
        if name.startswith("_"):
            continue
        command = importlib.import_module(f"{commands.__name__}.{name}")
        try:
            parents = command.parents() if name == chosen and hasattr(command, "parents") else []
        except ModuleNotFoundError as error:
            if HAS_TORCH:
                raise
            parser.error(f"{name} needs {error.name}, which is not installed here")
        own = parsers.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EXAMPLES,
            parents=parents,
            formatter_class=as_written,
            conflict_handler="resolve" if parents else "error",  # a parent has its own --help
        )
        if name == chosen:
            command.add_arguments(own)
            own.set_defaults(run=command.run)
    return parser


def _one_line(error: UserError) -> str:
    # from a loader's worker process an error comes with its traceback, whose last line it is
    return re.sub(r"^fastreid_gdnorm\.errors\.\w+: ", "", str(error).strip().splitlines()[-1])
