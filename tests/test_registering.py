"""Registration happens before the first use of fast-reid, however it comes about, and not before."""

import subprocess
import sys

import pytest

REGISTERED = "from fastreid.modeling.meta_arch import META_ARCH_REGISTRY as R; R.get('GDNormBaseline')"


@pytest.mark.parametrize(
    "first",
    [
        "import fastreid_gdnorm, fastreid.engine",
        "import fastreid_gdnorm.modeling as it; it.GDNormBaseline",
        "import fastreid_gdnorm.patches.data",  # as a worker process does that is spawned
        "import fastreid_gdnorm.registration",
        "from fastreid_gdnorm.demo import run_demo",
        "import fastreid; import fastreid_gdnorm",
        "from fastreid_gdnorm import FeatureExtractor; import fastreid_gdnorm.runs.config as it; it.load_config",
    ],
)
def test_it_is_registered_by_the_time_that_fastreid_is_used(first):
    check = f"import sys; {first}; {REGISTERED}; import fastreid; assert fastreid.__spec__.origin == fastreid.__file__"
    check += "; own = sys.modules['fastreid_gdnorm']"
    check += "; assert all(vars(own).get(n, m) is m for n, m in ((k.split('.')[1], v) for k, v in sys.modules.items()"
    check += " if k.startswith('fastreid_gdnorm.') and k.count('.') == 1)), 'each module is there once'"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "first",
    ["import fastreid_gdnorm", "from fastreid_gdnorm import cli; cli.build_parser('search').format_help()"],
)
def test_until_then_nothing_is_waited_for(first):
    check = f"import sys; {first}; assert not {{'torch', 'fastreid', 'numpy'}} & {{*sys.modules}}"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_layers_need_no_fastreid():
    check = "import sys; from fastreid_gdnorm.layers import GDNorm; assert 'fastreid' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
