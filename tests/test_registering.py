"""Registration happens before the first use of fast-reid, however it comes about, and not before."""

import subprocess
import sys

import pytest

REGISTERED = "from fastreid.modeling.meta_arch import META_ARCH_REGISTRY as R; R.get('GDNormBaseline')"

ONCE = (  # what registered itself is what is there: no module has been executed twice
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
        "import fastreid_gdnorm.patches.data",  # as a worker process does that is spawned
        "import fastreid; import fastreid_gdnorm",
    ],
)
def test_it_is_registered_by_the_time_that_fastreid_is_used(first):
    check = "; ".join((first, REGISTERED, *ONCE, "import fastreid.engine; fastreid.engine.DefaultTrainer"))
    run(check)


@pytest.mark.parametrize(
    "first",
    ["import fastreid_gdnorm", "from fastreid_gdnorm import cli; cli.build_parser('search').format_help()"],
)
def test_until_then_nothing_is_waited_for(first):
    check = f"import sys; {first}; assert not {{'torch', 'fastreid', 'numpy'}} & {{*sys.modules}}"
    run(check)


def test_the_layers_need_no_fastreid():
    check = "import sys; from fastreid_gdnorm.layers import GDNorm; assert 'fastreid' not in sys.modules"
    run(check)


def test_without_fastreid_the_fix_is_said_each_time_that_it_is_needed(tmp_path):
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
    said = run(check, tmp_path).splitlines()
    assert len(said) == 2, said
