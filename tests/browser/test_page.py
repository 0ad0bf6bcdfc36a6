"""The page in a real browser: what a person sees, opens, and is warned of."""

import os
import signal
from dataclasses import replace

import pytest
from selenium.webdriver.common.by import By

from core.messages import SETTINGS_REFUSED, QuoteRate
from core.units import Instrument
from tests.support.minute_records import MadeUpRun

pytestmark = pytest.mark.browser

ACTORS = ("feed", "executor", "cache", "recorder")


def text(browser, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def count(browser, selector: str) -> int:
    return len(browser.find_elements(By.CSS_SELECTOR, selector))


def open_page(browser, page, until, minutes: int = 200) -> MadeUpRun:
    """Feed the page and wait until it shows its minutes."""
    run = MadeUpRun()
    for actor in ACTORS:
        page.hot.publish_health(actor, {"state": "running", "restarts": 0, "rss_mb": 90.0, "ping_ms": 2.0})
    for record in run.many(minutes):
        page.hot.publish_record(record)
    browser.get(f"http://{page.address}/")
    until(lambda: count(browser, "details.minute") == min(minutes, 120))
    return run


def no_errors(browser) -> bool:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_everything_is_there_at_first_sight(browser, page, until):
    open_page(browser, page, until)
    assert text(browser, "#mode") == "REPLAY"
    assert "SYNTHETIC" in text(browser, "#synthetic")
    assert browser.execute_script("return getComputedStyle(banner).backgroundColor") == "rgb(36, 96, 201)"
    assert count(browser, ".tile") == 7
    assert count(browser, "#chart path.curve") == 1
    assert count(browser, "#positions tbody tr") == 6
    assert count(browser, "#latency .lat") == 7
    assert count(browser, "#actors .actor") == len(ACTORS)
    until(lambda: text(browser, "#link-text") == "up to date")
    assert no_errors(browser)


@pytest.mark.parametrize(
    ("mode", "colour", "words"),
    [("paper", "rgb(217, 154, 28)", "no real money"), ("live", "rgb(208, 35, 43)", "REAL MONEY")],
)
def test_the_mode_is_loud(browser, page, until, mode, colour, words):
    page.hot.publish_state({"mode": mode, "synthetic": False})
    open_page(browser, page, until, 3)
    assert text(browser, "#mode") == mode.upper()
    assert words in text(browser, "#mode-note")
    assert browser.execute_script("return getComputedStyle(banner).backgroundColor") == colour
    assert not browser.find_element(By.ID, "synthetic").is_displayed()


def test_a_minute_opens_and_tells_why(browser, page, until):
    open_page(browser, page, until)
    browser.find_elements(By.CSS_SELECTOR, "details.minute.acted > summary")[0].click()
    until(lambda: count(browser, "details[open] .why"))
    why = text(browser, "details[open] .why")
    for expected in (
        "ridge",
        "tcn",
        "rules",
        "weight 33%",
        "Sizes, line by line",
        "approved",
        "target 0.",
        "Time spent",
    ):
        assert expected in why
    assert count(browser, "details[open] .why table tbody tr") >= 5
    assert no_errors(browser)


def test_a_refusal_names_its_limit_and_a_miss_its_reason(browser, page, until):
    open_page(browser, page, until)
    held = next(node for node in browser.find_elements(By.CSS_SELECTOR, "details.minute") if "held back" in node.text)
    held.find_element(By.CSS_SELECTOR, "summary").click()
    until(lambda: "max_position_pct" in held.text)
    missed = browser.find_elements(By.CSS_SELECTOR, "details.minute.missed")[0]
    missed.find_element(By.CSS_SELECTOR, "summary").click()
    until(lambda: "Nothing new was traded" in missed.text)


def test_a_new_minute_is_pushed_and_an_open_one_stays_open(browser, page, until):
    run = open_page(browser, page, until)
    browser.find_elements(By.CSS_SELECTOR, "details.minute > summary")[4].click()
    opened = browser.find_element(By.CSS_SELECTOR, "details[open]").get_attribute("data-minute")
    for _ in range(3):
        record = run.next()
        page.hot.publish_record(record)
    first = "document.querySelector('details.minute').dataset.minute"
    until(lambda: browser.execute_script(f"return {first}") == str(record.minute))
    assert browser.find_element(By.CSS_SELECTOR, "details[open]").get_attribute("data-minute") == opened
    assert count(browser, "details.minute") == 120
    page.hot.publish_state({"done": 777})
    until(lambda: "777" in text(browser, "#tiles"))
    assert text(browser, "#seq") == f"#{page.hot.snapshot().seq}"


def test_an_actor_that_restarts_is_seen(browser, page, until):
    open_page(browser, page, until, 3)
    page.hot.publish_health("executor", {"state": "restarting", "restarts": 1, "why": "died"})
    until(lambda: "1 restart" in text(browser, "#actors") and "restarting · died" in text(browser, "#actors"))


def test_stale_is_said_and_the_connection_heals_by_itself(browser, page, until):
    open_page(browser, page, until)
    os.kill(page.redis.pid, signal.SIGKILL)
    until(lambda: text(browser, "#link-text") == "no data from Redis", 15)
    assert "stale" in browser.find_element(By.TAG_NAME, "body").get_attribute("class")
    page.redis.ensure()
    page.hot.publish_state({"mode": "replay", "synthetic": True})
    page.hot.publish_record(MadeUpRun().next())
    until(lambda: text(browser, "#link-text") == "up to date", 15)
    assert "stale" not in browser.find_element(By.TAG_NAME, "body").get_attribute("class")
    assert count(browser, "details.minute") == 1


def test_minutes_that_stop_coming_are_called_stale(browser, page, until):
    page.hot.publish_state({"clock": "speed", "speed": 600})
    run = open_page(browser, page, until, 3)
    until(lambda: text(browser, "#link-text").startswith("STALE · last minute"), 15)
    page.hot.publish_record(run.next())
    until(lambda: text(browser, "#link-text") == "up to date")


def test_a_lost_server_is_not_mistaken_for_a_quiet_market(browser, page, until):
    open_page(browser, page, until)
    page.stop_web()
    until(lambda: "connection lost" in text(browser, "#link-text"), 15)
    assert browser.execute_script("return document.getElementById('link').dataset.level") == "off"


def test_a_run_that_ended_is_not_called_stale(browser, page, until):
    open_page(browser, page, until, 3)
    page.hot.publish_state({"finished": True})
    until(lambda: text(browser, "#link-text") == "run has ended")


def test_texts_of_a_venue_are_never_markup(browser, page, until):
    run = MadeUpRun()
    page.hot.publish_state({"mode": "paper"})
    browser.get(f"http://{page.address}/")
    record = next(record for record in iter(run.next, None) if record.status == "missed")
    evil = "<img src=x onerror=\"document.title='owned'\"><b id=owned>late</b>"
    page.hot.publish_record(type(record)(minute=record.minute, trace="t", status="missed", reason=evil))
    until(lambda: count(browser, "details.minute"))
    browser.find_element(By.CSS_SELECTOR, "details.minute > summary").click()
    until(lambda: evil in text(browser, "details[open]"))
    assert count(browser, "#owned") == 0
    assert browser.title != "owned"


def test_settings_that_changed_and_settings_that_cannot_be_used_are_seen_unopened(browser, page, until):
    run = open_page(browser, page, until, 3)
    changed, fault = "trade.invest_pct 10 → 20", f"{SETTINGS_REFUSED}config.json: trade.invest_pct = 'lots'"
    minutes = iter(run.next, None)
    done = [next(r for r in minutes if r.status == "done") for _ in range(2)]
    page.hot.publish_record(replace(done[0], settings=(changed,)))
    page.hot.publish_record(replace(done[1], settings=(fault,)))
    until(lambda: count(browser, "details.minute") == 5)
    newest, before = browser.find_elements(By.CSS_SELECTOR, "details.minute > summary")[:2]
    assert "settings refused" in newest.text
    assert "settings" in before.text
    assert not browser.find_element(By.ID, "news").is_displayed()
    page.hot.publish_health(
        "risk", {"state": "running", "settings": {"minute": done[1].minute, "lines": [fault], "refused": True}}
    )
    until(lambda: fault in text(browser, "#news"))
    newest.click()
    until(lambda: count(browser, "details[open] .why"))
    assert "trade.invest_pct = 'lots'" in text(browser, "details[open] .why")
    page.hot.publish_health(
        "risk", {"state": "running", "settings": {"minute": done[1].minute, "lines": [changed], "refused": False}}
    )
    until(lambda: not browser.find_element(By.ID, "news").is_displayed())
    assert no_errors(browser)


@pytest.mark.parametrize("width", [1000, 1300, 1440])
def test_no_column_of_the_positions_is_cut_off(browser, page, until, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    run = open_page(browser, page, until, 3)
    # As wide as won and a premium make it.
    last = next(record for record in iter(run.next, None) if record.status == "done")
    won = tuple(Instrument("upbit", f"{one.symbol.partition('/')[0]}/KRW") for one in last.instruments)
    rate = QuoteRate(currency="KRW", usdt=1 / 1390.5, source="upbit:USDT/KRW", at_ms=0)
    page.hot.publish_record(
        replace(last, approved=(), refused=(), instruments=won, close=(139_050_000.0,) * 5, position=(0.1234567,) * 5,
                premium_bps=(-123.0,) * 5, rates=(rate,), equity=54_321.0, edge_bps=(-123.4,) * 5)
    )  # fmt: skip
    until(lambda: "139,050,000" in text(browser, "#positions"))
    assert browser.execute_script("return positions.scrollWidth <= positions.clientWidth"), "something is cut off"
    assert text(browser, "#positions th:last-child") == "Edge"


def test_it_fits_a_phone(browser, page, until):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    open_page(browser, page, until)
    browser.find_elements(By.CSS_SELECTOR, "details.minute.acted > summary")[0].click()
    until(lambda: count(browser, "details[open] .why"))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
    assert browser.find_element(By.ID, "link").is_displayed()
