"""A headless Chromium and a page that is fed over a real Redis."""

import shutil
import time
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.support.page_server import PageServer

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture
def page(tmp_path):
    server = PageServer(tmp_path / "redis")
    yield server
    server.close()


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser for all tests: each start of it takes seconds of a processor."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(
        path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))
    )
    profile = tmp_path_factory.mktemp("chromium")
    for flag in (*FLAGS, "--window-size=1440,1000", f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_page_load_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    """A tab of its own, which takes what a test pretends (size, scheme, no network) with it; an empty log."""
    before = chromium.current_window_handle
    chromium.switch_to.new_window("tab")
    chromium.get_log("browser")
    yield chromium
    chromium.close()
    chromium.switch_to.window(before)


@pytest.fixture
def until() -> Callable:
    """Wait, bounded, for a condition on the page; gives what it gave."""

    def wait(condition: Callable, seconds: float = 10.0):
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, "the page did not get there in time"
            time.sleep(0.05)
        return found

    return wait
