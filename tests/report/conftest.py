"""A browser to look at the pages with."""

import importlib
import os
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# to run as root, without a GPU, and without requests of the browser's own
FLAGS = "--no-sandbox --disable-gpu --disable-quic --disable-component-update --disable-sync".split()


def find_browser():
    """Playwright and an installed browser.

    Without them the test is skipped, or fails if the environment variable REQUIRE_BROWSER is set.
    """
    give_up = pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip
    try:
        sync_api = importlib.import_module("playwright.sync_api")
    except ImportError as error:
        give_up(f"playwright, which drives the browser, cannot be imported: {error}")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        give_up(f"no browser to look at the pages with: install one of {', '.join(BROWSERS)}")
    return sync_api, program


@pytest.fixture(scope="module")
def browser():
    """An installed browser; nothing is downloaded."""
    sync_api, program = find_browser()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def shown(browser):
    """A function (HTML file, width) -> the page in the browser, checked to be no wider than the window.

    At the end of the test, no page may have requested anything else or reported an error.
    """
    requested, said, pages = [], [], []

    def show(file, width):
        page = browser.new_page(viewport={"width": width, "height": 800}, is_mobile=width < 600)
        page.on("request", lambda request: requested.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        pages.append(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        return page

    yield show
    asked_for = {url for url in requested if not url.startswith("data:")}
    assert len(asked_for) == len(pages) and not said
    for page in pages:
        page.close()
