"""What pyproject.toml cannot say: a wheel carries configs, weights, the paper's numbers and the guide to data."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# Config files name their base by a relative path, so a wheel keeps all where they are to each other.
SHIPPED = (
    "configs/**/*.yml",
    "projects/GDNorm/configs/**/*.yml",
    "projects/GDNorm/results/paper.csv",
    "projects/GDNorm/results/published.csv",
    "projects/GDNorm/DATASETS.md",
    "projects/GDNorm/weights/*",
)


class BuildWithShipped(build_py):
    """Copies SHIPPED to `fastreid_gdnorm/_shipped/`; an editable install reads the files in place."""

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            return
        shutil.rmtree(self._shipped(), ignore_errors=True)  # a config that was renamed since the last build
        for source, target in self._files():
            self.mkpath(str(target.parent))
            self.copy_file(str(source), str(target), preserve_mode=False)

    def get_outputs(self, include_bytecode=1):
        outputs = super().get_outputs(include_bytecode)
        if getattr(self, "editable_mode", False):
            return outputs
        return outputs + [str(target) for _, target in self._files()]

    def _shipped(self):
        return Path(self.build_lib, "fastreid_gdnorm", "_shipped")

    def _files(self):
        for pattern in SHIPPED:
            sources = sorted(Path().glob(pattern))
            if not sources:
                raise FileNotFoundError(f"there is no {pattern}: build from a whole checkout or the sdist")
            for source in sources:
                yield source, self._shipped() / source


setup(cmdclass={"build_py": BuildWithShipped})
