"""A hook of mkdocs: pages keep their places in the repository, and equations and narrow tables are legible."""

import html
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.structure.files import File

OUTSIDE = (  # of docs/: pages, and files that pages link to
    "*.md",
    "CITATION.cff",
    "LICENSE",
    "configs/*.yml",
    "fastreid_gdnorm/patches/__init__.py",
    "projects/GDNorm/*.md",
    "projects/GDNorm/slurm.sh",
    "projects/GDNorm/benchmarks/**/*.py",
    "projects/GDNorm/configs/*.yml",
    "projects/GDNorm/configs/demo/*.yml",
    "projects/GDNorm/images/*",
    "projects/GDNorm/results/*",
    "projects/GDNorm/weights/*.json",
    "projects/GDNorm/weights/*.md",
)
KEY = re.compile(r"(?<=<td>)<code>[^<]*</code>")
EQUATION = re.compile(r'<(div|span) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', re.DOTALL)


def on_files(files, config):
    """docs/train.md is docs/train.md on the site too, and README.md is its front page."""
    root = Path(config.config_file_path).parent
    for file in list(files):
        if file.src_dir == config.docs_dir and file.src_uri not in config.extra_css:
            files.remove(file)
            files.append(File.generated(config, f"docs/{file.src_uri}", abs_src_path=file.abs_src_path))
    for pattern in OUTSIDE:
        for path in sorted(root.glob(pattern)):
            files.append(File.generated(config, path.relative_to(root).as_posix(), abs_src_path=str(path)))
    return files


def on_page_content(content, page, config, files):
    """MathML, which browsers draw without a script; and config keys in tables break after dots and underscores."""

    def mathml(found):
        display = "block" if found[1] == "div" else "inline"
        return f'<{found[1]} class="equation">{convert(html.unescape(found[2]), display=display)}</{found[1]}>'

    content = KEY.sub(lambda found: re.sub(r"(?<=[._])(?=\w)", "<wbr>", found[0]), content)
    return EQUATION.sub(mathml, content)
