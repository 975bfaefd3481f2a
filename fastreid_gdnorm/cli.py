"""The ``fastreid`` command: a loop over the modules of ``commands``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import logging
import os
import pkgutil
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import commands
from ._version import __version__, installed
from .errors import Failure, UserError, file_mistake, line_of
from .interrupts import ending_on_ctrl_c
from .plugins import load_plugins

HAS_TORCH = importlib.util.find_spec("torch") is not None  # some commands work without it

DESCRIPTION = """\
Person re-identification with fast-reid and GDNorm: train on several data sets,
then recognise people at sites that the model has never seen.
"""
EPILOG = """\
fastreid COMMAND --help explains a command and shows examples.
To see all of it at work, without any data of your own: fastreid demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 done, 1 failed, 2 the user's mistake, 130 Ctrl-C, 141 nobody reads its output.
    """
    logging.raiseExceptions = False  # if nobody reads its output any more, a run continues and keeps its log
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):  # file names may not be valid UTF-8, or may not fit the terminal's encoding
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    finally:
        _drop_output()


def _run(argv: Sequence[str]) -> int:
    command = _command(argv)
    try:
        with ending_on_ctrl_c():
            args = parse(argv)
            load_plugins()
            args.run(args)
            sys.stdout.flush()
    except UserError as error:
        print(f"fastreid {command}: {line_of(error)}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"fastreid {command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if HAS_TORCH:
            raise
        print(f"fastreid {command}: needs {error.name}, which is not installed", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fastreid {command}: stopped", file=sys.stderr)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 141
        line = file_mistake(error)
        if not line:
            raise
        print(f"fastreid {command}: {line}", file=sys.stderr)
        return 2
    return 0


def _nobody_reads() -> bool:
    """Whether standard output is a pipe whose reader is gone."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    return bool(output.poll(0))


def _drop_output() -> None:
    """Discard output that cannot be written, which Python would complain about on exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser that reports a mistake in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command line; exits if they are wrong."""
    parser = build_parser(argv[0] if argv else "")
    args, rest = parser.parse_known_args(argv)
    if rest and ("opts" not in args or any(word.startswith("--") for word in rest)):
        parser.exit(2, f"fastreid {args.command}: unrecognized arguments: {' '.join(rest)}\n")
    for flag in ("--config-file", "--model"):
        if args.command != "report" and sum(word.partition("=")[0] == flag for word in argv) > 1:
            parser.exit(2, f"fastreid {args.command}: {flag} is given more than once: pass it once\n")
    if rest:
        args.opts = [*args.opts, *rest]  # argparse ends a list of words at the first option after it
    return args


def build_parser(chosen: str) -> argparse.ArgumentParser:
    """The parser of the chosen command, or of all, without their arguments, if there is no such command."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = _Parser("fastreid", description=DESCRIPTION, epilog=EPILOG, formatter_class=as_written)
    about_version = "print the versions of the plugin, fast-reid and torch"
    parser.add_argument("-V", "--version", action="version", version=_versions(), help=about_version)
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    names = [module.name for module in pkgutil.iter_modules(commands.__path__) if not module.name.startswith("_")]
    for name in [chosen] if chosen in names else names:
        command = importlib.import_module(f"{commands.__name__}.{name}")
        try:
            parents = command.parents() if name == chosen and hasattr(command, "parents") else []
        except ModuleNotFoundError as error:
            if HAS_TORCH:
                raise
            parser.exit(2, f"fastreid {name}: needs {error.name}, which is not installed\n")
        own = parsers.add_parser(
            name,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=command.EXAMPLES,
            parents=parents,
            formatter_class=as_written,
            conflict_handler="resolve" if parents else "error",  # because a parent has its own --help
        )
        if name == chosen:
            command.add_arguments(own)
            own.set_defaults(run=command.run)
    return parser


def _versions() -> str:
    """The installed versions, without importing the packages."""
    found = {"fastreid_gdnorm": __version__, **installed("fastreid", "torch")}
    unknown = {
        package: "(version unknown)" if importlib.util.find_spec(package) else "not installed" for package in found
    }
    return ", ".join(f"{package} {version or unknown[package]}" for package, version in found.items())


def _command(argv: Sequence[str]) -> str:
    return next((word for word in argv if not word.startswith("-")), "")
