"""A browser for the pages."""

import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """A browser that is on this machine; nothing is downloaded."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser to look at the pages with: install one of {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
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
