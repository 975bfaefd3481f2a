"""Packaging. `make setup` does all of it; by hand it is two commands, in this order:

    pip install -e .                          (or: pip install fastreid_gdnorm-*.whl)
    pip install --no-deps fastreid==1.4.0

fast-reid cannot be named below. Its metadata asks for torch==1.13.1 and torchvision==0.14.1 exactly, which no
Python >= 3.12 and no current GPU can have, although the code itself runs on today's torch once this plugin is
imported. So it is installed without its metadata, and what it imports is declared here instead.
"""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

# Config files name their base by a relative path, so a wheel keeps all where they are to each other.
SHIPPED = (
    "configs/**/*.yml",
    "projects/GDNorm/configs/**/*.yml",
    "projects/GDNorm/results/paper.csv",
    "projects/GDNorm/DATASETS.md",
)

# setuptools builds the wheel that the tests look into; bdist_wheel is part of it since 70.1.
TEST = ["pytest>=7.4", "hypothesis", "setuptools>=70.1", "onnx", "onnxruntime"]


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


setup(
    name="fastreid_gdnorm",
    version="0.1.0",
    description="Gaussian-process normalisation (GDNorm) for domain-generalisable person re-identification: "
    "a plugin for fast-reid",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The fastreid_gdnorm authors",
    license="Apache-2.0",
    python_requires=">=3.9",
    packages=find_packages(include=["fastreid_gdnorm*"]),
    zip_safe=False,
    cmdclass={"build_py": BuildWithShipped},
    install_requires=[
        # Each torchvision asks for its own torch, so naming both in one place always gives a matching pair.
        # Before 2.4 torch cannot load a checkpoint of fast-reid's by weights only.
        "torch>=2.4",
        "torchvision>=0.19",
        "numpy",
        # fastreid imports these wherever it goes ...
        "faiss-cpu>=1.7.3",
        "opencv-python-headless>=4.7",
        "pillow",
        "pyyaml>=5.1",
        "scikit-learn>=1.2.1",
        "tabulate>=0.9",
        "tensorboard>=2.12",
        "termcolor>=2.2",
        "yacs>=0.1.8",
        # ... and these in its visualizer, to download ImageNet weights, and to unpack cuhk-03.mat.
        "matplotlib",
        "scipy>=1.8",
        "tqdm",
        "gdown",
        "h5py",
        "imageio",
    ],
    extras_require={
        "onnx": ["onnx", "onnxruntime"],
        "test": TEST,
        "dev": [*TEST, "ruff", "nox"],
    },
    entry_points={
        "console_scripts": ["fastreid = fastreid_gdnorm.cli:main"],
        "fastreid.plugins": ["gdnorm = fastreid_gdnorm"],
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(9, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
