"""The page of a search in a browser."""

import pytest

from fastreid_gdnorm.inference.gallery import Match
from fastreid_gdnorm.inference.queries import Found
from fastreid_gdnorm.inference.records import Record
from fastreid_gdnorm.inference.thresholds import Rate, Threshold
from fastreid_gdnorm.report.search_page import write_search_page


@pytest.fixture(scope="module")
def page_file(datasets, tmp_path_factory):
    """A page of two queries; one match is below the threshold, and the file of another is gone."""
    people = [str(path) for path in sorted((datasets / "RenderedStation" / "query").iterdir())]
    matches = [Match(row, 0.9 - 0.2 * row, Record(path, "1", "s1_2", "7")) for row, path in enumerate(people[2:5])]
    matches[1] = matches[1]._replace(record=Record("/gone/with/a_very_long_name_that_does_not_fit_anywhere.jpg"))
    rate = Rate(0.01, 0.0, 0.02)
    threshold = Threshold("model", "cosine", 0.6, 0.01, rate, rate, 1000, 100, 60, 6, "drawn people")
    found = [Found(Record(people[0], "2"), matches, threshold), Found(Record(people[1]), [], None)]
    file = tmp_path_factory.mktemp("page") / "found.html"
    write_search_page(file, found, "site: 3 images.")
    return file


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_shows_pictures_captions_and_verdicts(page_file, shown, width):
    page = shown(page_file, width)
    assert page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 20)") == [True] * 4
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
