"""A browser for the pages."""

import importlib
import os
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# for root, without a GPU, and without a request of the browser's own
FLAGS = "--no-sandbox --disable-gpu --disable-quic --disable-component-update --disable-sync".split()


def find_browser():
    """Playwright and a browser that is on this machine.

    Without them a test is skipped; it fails if the environment variable REQUIRE_BROWSER is set.
    """
    give_up = pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip
    try:
        sync_api = importlib.import_module("playwright.sync_api")
    except ImportError as error:
        give_up(f"playwright cannot be imported, which drives the browser: {error}")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        give_up(f"no browser to look at the pages with: install one of {', '.join(BROWSERS)}")
    return sync_api, program


@pytest.fixture(scope="module")
def browser():
    """A browser that is on this machine; nothing is downloaded."""
    sync_api, program = find_browser()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture
def shown(browser):
    """A function (HTML file, width) -> the page in the browser, where nothing sticks out.

    In the end it must have asked for nothing else, and have no errors.
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
