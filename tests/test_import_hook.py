"""The plugin registers just before fast-reid is first used, whatever uses it first."""

import subprocess
import sys

import pytest

REGISTERED = "from fastreid.modeling.meta_arch import META_ARCH_REGISTRY as R; R.get('GDNormBaseline')"

ONCE = (  # the registered class is the module's own, so no module was executed twice
    "import fastreid, fastreid_gdnorm",
    "from fastreid_gdnorm import modeling, registration",
    "assert R.get('GDNormBaseline') is modeling.GDNormBaseline and registration.modeling is modeling",
    "assert fastreid.__spec__.origin == fastreid.__file__ and fastreid.__spec__.loader is fastreid.__loader__",
)


def run(check, *words):
    done = subprocess.run([sys.executable, "-c", check, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "first",
    [
        "import fastreid_gdnorm, fastreid.engine; fastreid_gdnorm.registries.HOOK_REGISTRY",
        "import fastreid_gdnorm.registries as it; from fastreid_gdnorm.integration import loaders; "
        "assert it.SAMPLER_REGISTRY is loaders.SAMPLER_REGISTRY",
        "import fastreid_gdnorm.integration.workers",  # as a spawned worker process does
        "import fastreid; import fastreid_gdnorm",
    ],
)
def test_the_plugin_is_registered_whatever_is_imported_first(first):
    check = "; ".join((first, REGISTERED, *ONCE, "import fastreid.engine; fastreid.engine.DefaultTrainer"))
    run(check)


@pytest.mark.parametrize(
    "first",
    ["import fastreid_gdnorm", "from fastreid_gdnorm import cli; cli.build_parser('search').format_help()"],
)
def test_importing_the_plugin_and_help_import_no_torch(first):
    check = f"import sys; {first}; assert not {{'torch', 'fastreid', 'numpy'}} & {{*sys.modules}}"
    run(check)


def test_searching_by_an_onnx_file_imports_no_torch():
    first = "import sys; from fastreid_gdnorm.inference import gallery, extraction, onnx_network, queries, thresholds"
    run(f"{first}; assert not {{'torch', 'fastreid'}} & {{*sys.modules}}")


AFTER_ERRORS = """
import importlib, importlib.util, sys, threading, time, traceback
import fastreid_gdnorm

for name in ("fastreid", "fastreid.engine", "fastreid_gdnorm.modeling"):
    assert importlib.util.find_spec(name)
assert not {"torch", "fastreid.config", "fastreid_gdnorm.modeling", "fastreid_gdnorm.registration"} & {*sys.modules}

class Interrupting:
    "Interrupts the first search for a module, as Ctrl-C does."
    def __init__(self, name):
        self.name = name
    def find_spec(self, name, path=None, target=None):
        if name == self.name:
            sys.meta_path.remove(self)
            raise KeyboardInterrupt

def fails(name, error):
    try:
        importlib.import_module(name)
    except error:
        assert not [name for name in sys.modules if name.startswith(("fastreid.", "fastreid_gdnorm.modeling"))]
        return
    raise AssertionError(name)

sys.modules["faiss"] = None  # as if it is not installed
fails("fastreid.config", ImportError)
del sys.modules["faiss"]  # now it is installed
sys.meta_path.insert(0, Interrupting("fastreid_gdnorm.rendered"))
fails("fastreid_gdnorm.modeling.meta_arch", KeyboardInterrupt)

found = {}

def use(name):
    try:
        while name == "fastreid.data" and name not in sys.modules:
            time.sleep(0.01)  # so that it imports a module that is loaded but not yet patched
        importlib.import_module(name)
        from fastreid.modeling.meta_arch import META_ARCH_REGISTRY
        found[name] = META_ARCH_REGISTRY.get("GDNormBaseline")
    except BaseException:
        traceback.print_exc()

names = sys.argv[1:]
threads = [threading.Thread(target=use, args=(name,), daemon=True) for name in names]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(100)
assert [*sorted(found)] == sorted(names) and {*found.values()} == {fastreid_gdnorm.modeling.GDNormBaseline}, found
for module in map(importlib.import_module, names):
    assert module.__spec__.loader is module.__loader__ and "fastreid_gdnorm" not in type(module.__loader__).__module__
for module in fastreid_gdnorm, sys.modules["fastreid"], sys.modules["fastreid.config"]:
    importlib.reload(module)
from fastreid.engine import DefaultTrainer
depth, function = 0, DefaultTrainer.test.__func__
while function := getattr(function, "__wrapped__", None):
    depth += 1
print(depth)
"""


def test_a_failed_import_can_be_retried_and_threads_that_import_at_once_wait_for_the_registration():
    names = ("fastreid.engine.hooks", "fastreid.config", "fastreid_gdnorm.modeling.meta_arch", "fastreid_gdnorm.export")
    names += ("fastreid.data",)
    assert run(AFTER_ERRORS, *names) == "1\n", "DefaultTrainer.test is wrapped once"


def test_the_layers_need_no_fastreid():
    check = "import sys; from fastreid_gdnorm.layers import GDNorm; assert 'fastreid' not in sys.modules"
    run(check)


def test_without_fastreid_every_import_fails_anew(tmp_path):
    check = (
        "import sys, fastreid_gdnorm, importlib.util\n"
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p] + [sys.argv[1]]\n"
        "assert importlib.util.find_spec('fastreid') is None\n"
        "for _ in range(2):\n"
        "    try:\n"
        "        import fastreid_gdnorm.modeling\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    for name in ("torch", "numpy"):
        (tmp_path / f"{name}.py").write_text("")
    printed = run(check, tmp_path).splitlines()
    assert len(printed) == 2, printed
