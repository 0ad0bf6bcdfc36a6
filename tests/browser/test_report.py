"""The report's page in a real browser, with no network at all: figures drawn, tables sorted, nothing asked from outside."""

import pytest
from selenium.webdriver.common.by import By

from tests.support.results import made_up_result
from tune.report.findings import findings_of
from tune.report.frame import Judged
from tune.report.page import write_page

pytestmark = pytest.mark.browser


@pytest.fixture
def offline(browser):
    browser.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    return browser


def show(browser, path, until) -> None:
    browser.get(path.as_uri())
    until(lambda: browser.execute_script("return typeof Plotly === 'object'"), 20)


def scroll_through(browser, until) -> int:
    """Bring every figure into view; gives how many there are, all of them drawn by then."""
    boxes = browser.find_elements(By.CSS_SELECTOR, ".figure")
    for box in boxes:
        browser.execute_script("arguments[0].scrollIntoView()", box)
        until(lambda box=box: box.find_elements(By.CSS_SELECTOR, ".main-svg"))
    return len(boxes)


def test_the_page_opens_offline_and_draws_every_figure(offline, tmp_path, until):
    run = made_up_result(20_000, symbols=4, trades=300)
    judged = Judged("none", ("Failed: it lost.",))
    show(offline, write_page(tmp_path / "report.html", findings_of(run), verdict=judged), until)
    assert scroll_through(offline, until) == 8
    lines = offline.execute_script("return document.querySelectorAll('.scatterlayer .trace path').length")
    assert lines >= 8
    assert offline.execute_script("return document.querySelectorAll('.waterfalllayer .point path').length") == 6
    assert offline.find_element(By.CSS_SELECTOR, ".chip.none").text == "none"
    asked = offline.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [address for address in asked if not address.startswith("data:")] == []
    assert offline.get_log("browser") == []


def test_a_click_sorts_the_trades_and_another_turns_them_round(offline, tmp_path, until):
    show(offline, write_page(tmp_path / "report.html", findings_of(made_up_result(trades=40))), until)
    head = next(h for h in offline.find_elements(By.CSS_SELECTOR, ".trades thead th") if h.text == "net")
    offline.execute_script("arguments[0].scrollIntoView({block: 'center'})", head)

    def nets() -> list[float]:
        script = "return [...document.querySelectorAll('.trades tbody tr')].map((row) => row.cells[8].dataset.by)"
        return [float(value) for value in offline.execute_script(script)]

    head.click()
    assert nets() == sorted(nets(), reverse=True)
    head.click()
    assert nets() == sorted(nets())
    assert head.get_attribute("aria-sort") == "ascending"
    why = offline.find_element(By.CSS_SELECTOR, ".trades details")
    assert not why.find_element(By.TAG_NAME, "li").is_displayed()
    why.find_element(By.TAG_NAME, "summary").click()
    assert "asks for the full share" in why.find_element(By.TAG_NAME, "li").text


def test_runs_that_did_nothing_still_open(offline, tmp_path, until):
    for name, run in (("no-trade", made_up_result(trades=0)), ("one-minute", made_up_result(minutes=1))):
        show(offline, write_page(tmp_path / f"{name}.html", findings_of(run)), until)
        assert scroll_through(offline, until) >= 1
    assert offline.get_log("browser") == []


def test_it_fits_a_phone_and_follows_a_dark_scheme(offline, tmp_path, until):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    offline.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    show(offline, write_page(tmp_path / "report.html", findings_of(made_up_result())), until)
    scroll_through(offline, until)
    assert offline.execute_script("return document.documentElement.scrollWidth") <= 390

    def text_colour() -> str:
        return offline.execute_script("return document.querySelector('.js-plotly-plot').layout.hoverlabel.font.color")

    light = text_colour()
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    offline.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    until(lambda: text_colour() != light)
