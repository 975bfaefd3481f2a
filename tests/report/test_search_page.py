"""The page of a search in a browser."""

import re
from pathlib import Path

import pytest
from PIL import Image

from fastreid_gdnorm.inference.gallery import Match
from fastreid_gdnorm.inference.queries import Found
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.inference.thresholds import Rate, Threshold
from fastreid_gdnorm.report.search_page import write_search_page

ASPECTS = """async () => {
  const urls = [...document.querySelectorAll("[role=img]")].map(e => getComputedStyle(e).backgroundImage.slice(5, -2));
  const load = async url => { const image = new Image(); image.src = url; await image.decode(); return image; };
  return (await Promise.all(urls.map(load))).map(image => image.naturalWidth / image.naturalHeight);
}"""


@pytest.fixture(scope="module")
def people(datasets):
    return [str(path) for path in sorted((datasets / "RenderedStation" / "query").iterdir())]


@pytest.fixture(scope="module")
def page_file(people, tmp_path_factory):
    """A page of two queries with a match in common; one match is below the threshold, and the file of another is gone.

    The thumbnails are in the order people[0], [2], [4], [1], [2].
    """
    matches = [Match(row, 0.9 - 0.2 * row, Record(path, "1", "s1_2", "7")) for row, path in enumerate(people[2:5])]
    matches[1] = matches[1]._replace(record=Record("/gone/with/a_very_long_name_that_does_not_fit_anywhere.jpg"))
    rate = Rate(0.01, 0.0, 0.02)
    threshold = Threshold("model", "cosine", 0.6, 0.01, rate, rate, 1000, 100, 60, 6, "drawn people")
    found = [Found(Record(people[0], "2"), matches, threshold), Found(Record(people[1]), matches[:1], None)]
    file = tmp_path_factory.mktemp("page") / "found.html"
    write_search_page(file, found, "site: 3 images.")
    return file


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_pictures_captions_and_verdicts(page_file, people, shown, width):
    page = shown(page_file, width)
    shown_people = [people[place] for place in (0, 2, 4, 1, 2)]
    labels = [image.get_attribute("aria-label") for image in page.query_selector_all("[role=img]")]
    assert labels == [Path(path).name for path in shown_people]
    assert page.evaluate(ASPECTS) == pytest.approx([_aspect(path) for path in shown_people], rel=0.05)
    figures = page.query_selector_all(".thumbnails figure")
    captions = [figure.inner_text().split("\n") for figure in figures]
    assert captions[0] == ["query", "camera 2"]
    assert captions[1] == ["1. same", "0.900", "identity 7", "camera 1", "s1_2"]
    assert captions[2][:3] == ["no longer readable", "2. same", "0.700"]
    assert captions[3][:2] == ["3. unknown", "0.500"] and captions[4][0] == "query"
    colours = [figure.evaluate("figure => getComputedStyle(figure).borderColor") for figure in figures]
    assert colours[1] == colours[2] != colours[3] and colours[0] == colours[4] not in colours[1:4]
    tops = [figure.bounding_box()["y"] for figure in figures]
    assert tops[0] < tops[4] and (width < 600 or len(set(tops[:4])) == 1)


def test_an_image_that_is_shown_twice_is_embedded_once(page_file):
    assert len(re.findall("url\\(data:image/webp", page_file.read_text())) == 4


def _aspect(path):
    width, height = Image.open(path).size
    return width / height
