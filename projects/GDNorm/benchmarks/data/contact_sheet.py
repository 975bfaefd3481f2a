"""Shows six people of each of sixteen synthetic domains in one picture. Writes images/drawn_domains.jpg.

    python projects/GDNorm/benchmarks/data/contact_sheet.py

The domains are RenderedDraw900 to RenderedDraw915, which nothing else uses.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from fastreid_gdnorm.rendered import draw_style, render_people

FILE = Path(__file__).resolve().parents[2] / "images" / "drawn_domains.jpg"
SEEDS, PEOPLE = range(900, 916), 6


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    for seed, part in zip(SEEDS, figure.subfigures(4, 4).flat):
        part.suptitle(str(seed), fontsize=8)
        for axes, picture in zip(part.subplots(1, PEOPLE), render_people(draw_style(seed), PEOPLE)):
            axes.imshow(picture)
            axes.axis("off")
    figure.savefig(FILE, dpi=110, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
