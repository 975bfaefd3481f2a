"""The command line: help that teaches, plugins of others, and the manual's own lines."""

import importlib.metadata
import pkgutil
import re
import shlex
import subprocess
import sys

import pytest

from fastreid_gdnorm import cli, commands
from fastreid_gdnorm.runs.run_config import shipped

from ..conftest import REPOSITORY, command, fastreid, small_files
from ..runs.toy import one_line
from ..test_house import PACKAGE, strings_of

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "projects/GDNorm/README.md",
    "projects/GDNorm/DATASETS.md",
    *sorted(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md")),
]


@pytest.mark.parametrize(
    "words, taught",
    [
        ([], ["datasets", "demo", "eval", "export", "paths", "protocol", "report", "train", "GDNorm"]),
        (
            ["train"],
            ["--resume", "--seed", "--add-source", "DATASETS.NAMES", "FASTREID_DATASETS", "Market-1501", "examples:"],
        ),
        (
            ["eval"],
            ["--model RUN", "source:N", "sample:SEED", "ensemble", "posterior:FILE", "MODEL.WEIGHTS", "examples:"],
        ),
        (
            ["adapt"],
            ["--by-camera", "--prior-only-layers", "transductive", "posterior:DIR", "at least 16", "examples:"],
        ),
        (["adapt"], ["--by {features,norms,both}", "ONNX", "different people", "--site DIR", "FeatureExtractor"]),
        (["demo"], ["--output", "three of them", "twelve\nother domains"]),
        (["datasets"], ["--no-decode", "--root", "--layout", "shop.csv", "DATASETS.md", "examples:"]),
        (["protocol"], ["--only", "--eval-only", "--weights", "--variant", "without-duke", "cuhk-sysu", "examples:"]),
        (["paths"], ["--model RUN", "--samples", "--lambdas", "ensemble", "safe to interrupt", "examples:"]),
        (["export"], ["--model RUN", "--onnx", "--fuse", "stock", "manifest.json", "examples:"]),
        (["report"], ["--model", "RUN_DIR", "report.html", "no network", "examples:"]),
        (["group"], ["--score", "--html", "track", "overlap in time", "--false-accept", "examples:"]),
    ],
    ids=[
        "fastreid",
        "train",
        "eval",
        "adapt",
        "adapt by",
        "demo",
        "datasets",
        "protocol",
        "paths",
        "export",
        "report",
        "group",
    ],
)
def test_help_teaches(words, taught, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        cli.main([*words, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert all(word in text for word in taught)
    before_examples = text.partition("examples:")[0].splitlines()
    assert [line for line in before_examples if len(line) > 80] == []


def test_version_names_the_plugin_fastreid_and_torch(fastreid_here):
    done = fastreid_here("--version")
    versions = [importlib.metadata.version(package) for package in ("fastreid_gdnorm", "fastreid", "torch")]
    assert done.returncode == 0
    assert done.stdout == "fastreid_gdnorm {}, fastreid {}, torch {}\n".format(*versions)


def test_a_missing_command_or_config_is_a_mistake(fastreid_here):
    done = fastreid_here()
    assert done.returncode == 2 and "COMMAND" in done.stderr
    done = fastreid_here("train", "SEED", "1")
    assert done.returncode == 2 and "--config-file '' does not exist; try projects/GDNorm" in done.stderr


def test_an_error_in_a_loader_worker_is_one_line(tmp_path, monkeypatch, fastreid_here):
    (tmp_path / "broken.jpg").write_text("no picture")
    (tmp_path / "load.py").write_text(
        'SUMMARY, DESCRIPTION, EXAMPLES = "", "", ""\n'
        "def add_arguments(parser):\n"
        '    parser.add_argument("image")\n'
        "def run(args):\n"
        "    from fastreid.data import CommDataset\n"
        "    from torch.utils.data import DataLoader\n"
        "    next(iter(DataLoader(CommDataset([(args.image, 0, 0)]), num_workers=1)))\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    assert one_line(fastreid_here("load", tmp_path / "broken.jpg")).startswith("fastreid load: cannot read image")


def test_plugins_of_other_packages_are_loaded_and_a_failing_one_is_skipped(tmp_path):
    for name, source in (("good", "print('good plugin is here')"), ("bad", "1 / 0")):
        (tmp_path / f"{name}_plugin.py").write_text(source)
        info = tmp_path / f"{name}_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}_plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[fastreid.plugins]\n{name} = {name}_plugin\n")
    done = fastreid("report", "no-run", env={"PYTHONPATH": f"{REPOSITORY}:{tmp_path}"})
    assert done.returncode == 2 and "good plugin is here" in done.stdout and "no-run" in done.stderr
    assert "plugin bad (bad_plugin) was skipped: division by zero" in done.stderr


# flags of other programs: those that use an export, torchrun, pip
FLAGS_OF_OTHERS = {
    "--with-reid",
    "--fast-reid-config",
    "--fast-reid-weights",
    "--reid",
    "--nproc_per_node",
    "--no-deps",
}


def test_every_flag_and_command_in_the_texts_exists():
    flags = {}
    for name in (module.name for module in pkgutil.iter_modules(commands.__path__) if module.name[0] != "_"):
        parsers = next(action for action in cli.build_parser(name)._actions if action.dest == "command")
        flags[name] = {option for action in parsers.choices[name]._actions for option in action.option_strings}
    known = set().union(*flags.values(), FLAGS_OF_OTHERS, {"--version"})
    for path in PACKAGE.rglob("*.py"):
        texts = [text for text in strings_of(path) if "{ color-scheme" not in text]
        advised = {flag for text in texts for flag in re.findall(r"(?<![\w-])--[a-z][a-z_-]*[a-z]", text)}
        assert advised <= known, f"{path.relative_to(PACKAGE)}: {advised - known}"
        named = {name for text in texts for name in re.findall(r"(?:^|[`:;,(] ?|run )fastreid ([a-z]+)\b", text)}
        assert named <= set(flags), f"{path.relative_to(PACKAGE)}: {named - set(flags)}"
        if path.parent.name == "commands" and "extraction import extract" in path.read_text():
            assert "--skip-unreadable" in flags[path.stem], f"{path.stem}: its error about images mentions it"


def commands_of(document):
    text = (REPOSITORY / document).read_text().replace("\\\n", " ")
    return [line.strip().split("#")[0] for line in re.findall(r"^(?:    |)(?:\$ )?fastreid .*$", text, re.MULTILINE)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_the_documents_parses_and_every_file_is_there(document):
    for line in commands_of(document):
        words = shlex.split(line)[1:]
        if words != ["--help"]:
            args = cli.parse(words)
            file = getattr(args, "config_file", "")
            assert not file or file.startswith("logs/") or shipped(file).is_file(), line
    for link in re.findall(r"\]\((?!http)([^)#]+)", (REPOSITORY / document).read_text()):
        assert ((REPOSITORY / document).parent / link).exists(), link


def test_every_command_has_a_line_to_try_in_the_documents():
    tried = {line.split()[1] for document in DOCUMENTS for line in commands_of(document)}
    assert tried >= {module.name for module in pkgutil.iter_modules(commands.__path__) if module.name[0] != "_"}


def python_of(page):
    return re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.DOTALL)


def test_the_manuals_python_runs(datasets, tmp_path):
    """The first block from a folder with the project's configs, the others on a small network or numbers."""
    for name in ("configs", "projects"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    first, second, mixin = python_of("train.md")
    (of_cameras,) = python_of("adapt.md")
    mixin = f"import fastreid_gdnorm\nfrom fastreid.modeling.meta_arch import Baseline as Mine\n{mixin}"
    before = (
        "import fastreid_gdnorm, torch\n"
        "model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).train()\n"
        "images, domains, criterion = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 2, 1, 0]), torch.mean\n"
    )
    after = "\nassert torch.allclose(deployed.eval()(images), features, atol=1e-5)"
    # the test domains have 6 identities each, too few for the config's batch
    first = first.replace("trainer =", "cfg.SOLVER.IMS_PER_BATCH = 24; trainer =")
    of_cameras = (
        "import numpy\nunlabelled, cameras = numpy.random.rand(6, 9), list('aaabbb')\n"
        f"features, their_cameras = numpy.random.rand(2, 9), ['b', '']\n{of_cameras}\nassert features.shape == (2, 9)"
    )
    code = "\n".join(f"exec({block!r}, {{}})" for block in (first, before + second + after, mixin, of_cameras))
    words = {**command(cwd=tmp_path), "args": [sys.executable, "-c", code]}
    done = subprocess.run(**words, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        ("adapt --model RUN --images crops --output DIR --workers -1", "--workers: must be a whole number, 0 or more"),
        ("adapt --model RUN --output DIR crops --device gpu", "--device: must be cpu, cuda or cuda:N; got 'gpu'"),
        ("calibrate --model RUN --false-accept 2", "--false-accept: must be between 0 and 1; got '2'"),
        ("paths --model RUN --output DIR --samples -1", "--samples: must be a whole number, 0 or more; got '-1'"),
        ("paths --config-file FILE --output DIR --lambdas nan", "--lambdas: must be numbers of 0 or more"),
        ("protocol 1 --seed -5", "--seed: must be a whole number, -1 or more; got '-5'"),
        (
            "eval --config-file projects",
            "--config-file projects is a folder: name a file, or pass a run's folder as --model",
        ),
        ("group crops --model RUN --output FILE --score nan", "--score: must be a number; got 'nan'"),
        ("report RUN --foo", "fastreid report: unrecognized arguments: --foo"),
        ("extract crops --output FILE", "arguments are required: --model; see fastreid extract --help"),
        ("protocol 4", "invalid choice: '4' (choose from"),
    ],
)
def test_an_invalid_value_is_one_line(words, said, fastreid_here):
    done = fastreid_here(*words.split())
    assert said in one_line(done)
    assert "usage:" not in done.stderr


OUTPUTS = {
    "train": "OUTPUT_DIR FILE",
    "eval": "--output FILE/deeper",
    "paths": "--output FILE",
    "export": "--output FILE",
    "adapt": "--images nowhere --output FILE",
    "extract": "nowhere.jpg --output FILE/features.npz",
    "index": "nowhere.jpg --gallery FILE/gallery",
    "search": "--gallery nowhere nowhere.jpg --html FILE/page.html",
    "calibrate": "nowhere.csv",
    "group": "nowhere.jpg --output FILE/identities.csv",
    "protocol": "1 --output FILE",
    "report": "RUN --output FILE",
    "demo": "--output FILE",
}


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_unwritable_output_is_one_line_before_any_work(command, toy_run, tmp_path, fastreid_here):
    file = tmp_path / "file"
    file.touch()
    words = OUTPUTS[command].replace("FILE", str(file)).replace("RUN", str(toy_run)).split()
    if command in ("train", "eval", "paths", "export"):
        words = ["--config-file", toy_run / "config.yaml", *words]
    if command in ("adapt", "extract", "group", "index"):
        words = ["--model", toy_run, *words]
    if command == "calibrate":
        words = ["--model", file / "model.onnx", *words]
    line = one_line(fastreid_here(command, *words))
    assert re.search(f"^fastreid {command}: .*{file}.*(a file|Not a directory)", line) and str(file) in line
    assert not file.read_bytes()


def test_a_disk_that_fills_up_during_work_is_one_line(toy_run, datasets, tmp_path, fastreid_here):
    crops = next(datasets.glob("RenderedStation/query"))
    with small_files(2**13):
        line = one_line(fastreid_here("extract", "--model", toy_run, crops, "--output", tmp_path / "features.npz"))
    assert re.search(r"features.npz.journal/.*\.npz: File too large; .* write elsewhere", line)
    assert not (tmp_path / "features.npz").exists() and not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("lines", [1, 10**5])
@pytest.mark.parametrize("output", ["reader gone", "full disk"])
def test_a_command_ends_quietly_if_its_output_cannot_be_printed(lines, output, tmp_path):
    (tmp_path / "many.py").write_text(
        'SUMMARY, DESCRIPTION, EXAMPLES = "print", "Print.", ""\n'
        "def add_arguments(parser): pass\n"
        "def run(args):\n"
        "    input()\n"
        f"    for line in range({lines}):\n"
        "        print('line', line)\n"
    )
    code = "import sys; from fastreid_gdnorm import cli, commands; commands.__path__.append(sys.argv[1])\n"
    words = [sys.executable, "-c", f"{code}sys.exit(cli.main(['many']))", tmp_path]
    with open("/dev/full", "w") as full:
        stdout = subprocess.PIPE if output == "reader gone" else full
        options = {"stdin": subprocess.PIPE, "stdout": stdout, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(words, cwd=REPOSITORY, **options)
    if process.stdout:
        process.stdout.close()
        process.stdout = None
    said = process.communicate("go\n", timeout=60)[1]
    if output == "reader gone":
        assert process.returncode == 141 and not said
    else:
        assert process.returncode == 2
        assert said == "fastreid many: its output: No space left on device; free some space, or write elsewhere\n"


def test_a_file_name_with_a_line_break_is_reported_in_one_line(tmp_path, fastreid_here):
    done = fastreid_here("index", "--model", tmp_path, "two\nlines/*.jpg", "--gallery", tmp_path / "gallery")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "fastreid index: two lines/*.jpg is not a file or folder and matches no files: check the path"
    ]
