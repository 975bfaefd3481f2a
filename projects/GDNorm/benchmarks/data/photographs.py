"""Makes DGCUHK03, CUHK01 and the domains of photograph_domains.py from public checkouts.

    python projects/GDNorm/benchmarks/data/photographs.py --from CHECKOUT... [--output DIR]

Each CHECKOUT is a folder that holds, at any depth, one or more of

    dataset/images/full     CUHK03's detected images as IIII_VV.jpg, identities in the order of cuhk-03.mat
    cuhk03_new_protocol_config_detected.mat, cuhk03_new_protocol_config_labeled.mat
    CUHK01/campus           CUHK01 as PPPPVVV.png

Copies the files into DIR ($FASTREID_DATASETS by default) under the names that the official archives use; DATASETS.md
explains how to get those. Existing files are kept. At the end, all images are counted, decoded and compared with the
published counts. The images show real people and have no licence: keep them out of repositories, pages and logs.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import benchmarks.data.photograph_domains  # noqa: F401  registers the domains
from fastreid.config import get_cfg
from tqdm import tqdm

from fastreid_gdnorm.data import datasets_root
from fastreid_gdnorm.data.verification import check_data_sets
from fastreid_gdnorm.errors import UserError

PAIRS = (843, 440, 77, 58, 49)  # identities for each of CUHK03's pairs of cameras
SPLITS = tuple(f"cuhk03_new_protocol_config_{boxes}.mat" for boxes in ("detected", "labeled"))
DOMAINS = ("CUHK03Pair1", "CUHK03Pair2", "CUHK03Pairs3to5", "CUHK01")


def main(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="checkouts", nargs="+", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument(
        "--output", type=Path, default=Path(datasets_root()), metavar="DIR", help="default: %(default)s"
    )
    args = parser.parse_args(words)
    missing = [str(folder) for folder in args.checkouts if not folder.is_dir()]
    if missing:
        parser.error(f"--from {missing[0]} is not a folder")
    wanted = dict(found(args.checkouts))
    if not wanted:
        parser.error("the checkouts hold none of the folders and files that --help lists")
    for place, file in tqdm(wanted.items(), "copying", unit="file", disable=None):
        put(file, args.output / place)
    os.environ["FASTREID_DATASETS"] = str(args.output)
    made = {Path(place).parts[0] for place in wanted}
    names = [name for name in DOMAINS if ("cuhk02" if name == "CUHK01" else "cuhk03") in made]
    names += ["DGCUHK03"] if all(f"cuhk03/{name}" in wanted for name in SPLITS) else []
    try:
        check_data_sets(get_cfg(), names, guide="projects/GDNorm/DATASETS.md")
    except UserError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def found(checkouts):
    """(place, file) of every file in the checkouts that belongs in the folder of data sets."""
    for checkout in checkouts:
        for folder, subfolders, names in os.walk(checkout):
            subfolders.sort()
            folder = Path(folder)
            official = OFFICIAL.get("/".join(folder.parts[-2:]), split_place)
            for name in sorted(names):
                place = official(name)
                if place:
                    yield place, folder / name


def cuhk03_place(name):
    """Where IIII_VV.jpg goes; views below 5 come from the first camera of the identity's pair."""
    match = re.fullmatch(r"(\d{4})_(\d\d)(\.jpg)", name)
    if not match:
        return ""
    pid, view, suffix = int(match[1]), int(match[2]), match[3]
    for pair, size in enumerate(PAIRS, 1):
        if pid < size:
            return f"cuhk03/images_detected/{pair}_{pid + 1:03d}_{1 if view < 5 else 2}_{view + 1:02d}{suffix}"
        pid -= size
    return ""


def cuhk01_place(name):
    """Where PPPPVVV.png goes; views 1 and 2 come from the first camera."""
    match = re.fullmatch(r"(\d{4})(\d{3})\.png", name)
    return f"cuhk02/P1/cam{1 if int(match[2]) < 3 else 2}/{match[1]}_{match[2]}.png" if match else ""


def split_place(name):
    return f"cuhk03/{name}" if name in SPLITS else ""


OFFICIAL = {"images/full": cuhk03_place, "CUHK01/campus": cuhk01_place}


def put(file, place):
    """Copy ``file`` to ``place`` unless that exists; never leave part of a file there."""
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        shutil.copyfile(file, part)
        part.rename(place)


if __name__ == "__main__":
    main()
