"""Conventions of the package that ``make lint`` does not check."""

import ast
import re
from pathlib import Path

import pytest

import fastreid_gdnorm
from fastreid_gdnorm import cli, commands
from fastreid_gdnorm.runs import files

PACKAGE = Path(fastreid_gdnorm.__file__).parent


def strings_of(path):
    """The string literals of a file, except docstrings."""
    tree = ast.parse(path.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


def test_no_code_outside_runs_spells_the_name_of_a_runs_file():
    """Sentences in help and messages may name one; code that builds a path must use the constants of runs.files."""
    names = [value for key, value in vars(files).items() if key.isupper() and len(value) > 5]
    spelled = re.compile(rf"(?:\S*/)?({'|'.join(map(re.escape, names))})(\.json|\.csv)?")
    for path in PACKAGE.rglob("*.py"):
        if path.parent != PACKAGE / "runs":
            found = [text for text in strings_of(path) if spelled.fullmatch(text.strip())]
            assert not found, f"{path.relative_to(PACKAGE)} spells {found}: use fastreid_gdnorm.runs.files"


def test_a_new_command_is_one_new_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "hello.py").write_text(
        'SUMMARY, DESCRIPTION, EXAMPLES = "greet", "Greet somebody.", ""\n'
        "def add_arguments(parser):\n"
        '    parser.add_argument("name")\n'
        "def run(args):\n"
        '    print(f"hello {args.name}")\n'
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    assert cli.main(["hello", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert re.search(r"^ +hello +greet$", capsys.readouterr().out, re.MULTILINE)


def test_no_function_has_its_modules_name():
    """A package that imports such a function hides the module of that name, and the full name says the word twice."""
    for path in PACKAGE.rglob("*.py"):
        defined = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert path.stem not in defined, path.relative_to(PACKAGE)


WRITES = re.compile(r"(\w+)\)?\.(?:write_text|write_bytes)\(|savefig\((\w+)|open\((\w+)[^()]*, \"[wx]")
STREAMS = {
    "cli.py": "os",  # the null device
    "runs/experiments.py": "log_file",  # a command's output while it runs
    "rendered/render.py": "path",  # in a temporary folder that is renamed when it is complete
}


def test_files_are_written_whole():
    """Files are written through disk.replacing, to a path called part; only disk.py itself writes otherwise."""
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        written = {next(filter(None, found)) for found in WRITES.findall(path.read_text())}
        assert written <= {"part", STREAMS.get(name)} or name == "disk.py", f"{name}: use disk.replacing"
