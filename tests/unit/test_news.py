"""What headlines and funding rates are worth to a minute: from when they could be known on, fading, and the same live."""

import math
from dataclasses import replace

import numpy as np
import pytest

from core.bars import fill_gaps
from core.cache import Cache
from core.extras import Extras
from core.features import FEATURE_NAMES, HISTORY, SEQUENCE, feature_table
from core.indicators.news import (
    ATTENTION,
    FUNDING,
    FUNDING_KNOWN,
    HALF_LIFE_MINUTES,
    KNOWN,
    MARKET_ATTENTION,
    MARKET_SCORE,
    SCORE,
    columns,
)
from core.news import FUNDING_LASTS_MS, HEADLINE_LASTS_MS, KEPT_MS, NEWS_DELAY_MS, FundingRate, Headline, News
from core.units import MINUTE_MS
from tests.support.markets import BTC, ETH, MINUTE, account, tick, walk
from tests.unit.test_cache import to_slice

PAIR = (BTC, ETH)
DELAY = NEWS_DELAY_MS // MINUTE_MS


def headline(ms: int, score: float, *bases: str, key: str = "") -> Headline:
    return Headline(knowable_ms=ms, key=key or f"{ms}-{score}-{bases}", source="s", title="t", bases=bases, score=score)


def test_a_headline_counts_from_two_minutes_after_it_could_be_known_and_fades_by_half_every_two_hours() -> None:
    news = News.of([headline(MINUTE, 0.8, "BTC")])
    found = columns(news, PAIR, MINUTE, 1_500)
    first = DELAY - 1  # the minute that closes then
    assert (found[:, :first] == 0.0).all()
    assert found[0, first, SCORE] == 0.8 / 2.0
    assert found[0, first, ATTENTION] == math.log(2.0)
    assert found[0, first + HALF_LIFE_MINUTES, SCORE] == pytest.approx(0.4 / 1.5)
    assert (found[1, :, [SCORE, ATTENTION]] == 0.0).all()  # nothing was said of the other coin
    assert (found[1, first : first + 1_440, KNOWN] == 1.0).all()  # but the source is alive
    assert (found[:, first + HEADLINE_LASTS_MS // MINUTE_MS :] == 0.0).all()


def test_a_headline_that_was_found_late_has_aged_meanwhile() -> None:
    late = replace(headline(MINUTE, 0.8, "BTC"), published_ms=MINUTE - HALF_LIFE_MINUTES * MINUTE_MS)
    found = columns(News.of([late]), PAIR, MINUTE, 1_500)
    first = DELAY - 1
    assert found[0, first - 1 : first + 1, SCORE].tolist() == [0.0, pytest.approx(0.4 / 1.5)]
    assert found[0, first + 1_440 - HALF_LIFE_MINUTES - 1 :, KNOWN].tolist()[:2] == [1.0, 0.0]
    older = replace(late, published_ms=MINUTE - HEADLINE_LASTS_MS)
    assert not columns(News.of([older]), PAIR, MINUTE, 1_500).any()


def test_what_names_no_coin_is_about_the_market() -> None:
    found = columns(News.of([headline(MINUTE, -0.5), headline(MINUTE, 0.5, "ETH", "DOGE")]), PAIR, MINUTE, 10)
    assert found[0, -1, MARKET_SCORE] == found[1, -1, MARKET_SCORE] < 0.0
    assert found[0, -1, MARKET_ATTENTION] == found[1, -1, ATTENTION] > 0.0
    assert found[0, -1, SCORE] == 0.0 < found[1, -1, SCORE]


def test_a_funding_rate_holds_until_the_next_and_no_longer_than_half_a_day() -> None:
    rates = [FundingRate(knowable_ms=MINUTE + k * 60 * MINUTE_MS, base="BTC", rate_bps=1.0 + k) for k in range(2)]
    found = columns(News.of(funding=rates), PAIR, MINUTE, 900)
    second = 60 + DELAY - 1
    assert found[0, DELAY - 2 : DELAY, FUNDING].tolist() == [0.0, 1.0]
    assert found[0, second - 1 : second + 1, FUNDING].tolist() == [1.0, 2.0]
    end = second + FUNDING_LASTS_MS // MINUTE_MS
    assert found[0, end - 1 : end + 1, FUNDING_KNOWN].tolist() == [1.0, 0.0]
    assert (found[1, :, FUNDING_KNOWN] == 0.0).all()


def test_a_key_is_one_headline_as_it_was_first_known() -> None:
    told = News.of(
        [headline(MINUTE + 5, -1.0, key="a"), headline(MINUTE, 1.0, key="a"), headline(MINUTE, 0.0, key="b")]
    )
    assert [(h.key, h.score) for h in told.headlines] == [("a", 1.0), ("b", 0.0)]


def made_news(minutes: int, seed: int) -> News:
    rng = np.random.default_rng(seed)
    at = MINUTE - minutes * MINUTE_MS + rng.integers(0, 2 * minutes * MINUTE_MS, 80)
    coins = ((), ("BTC",), ("ETH",), ("BTC", "ETH"), ("XRP",))
    return News.of(
        (
            headline(int(ms), float(rng.normal(0, 0.3)), *coins[int(rng.integers(5))], key=str(k))
            for k, ms in enumerate(at)
        ),
        (FundingRate(knowable_ms=int(ms), base="BTC", rate_bps=float(rng.normal())) for ms in at[::7]),
    )


def test_a_minute_alone_or_a_later_beginning_has_the_numbers_of_the_table_bit_for_bit() -> None:
    news = made_news(2_000, 3)
    table = columns(news, PAIR, MINUTE, 2_000)
    assert np.ptp(table[0, :, :6], axis=0)[[0, 1, 2, 3, 5]].all()
    for t in range(0, 2_000, 13):
        minute = MINUTE + t * MINUTE_MS
        known = news.known_at(minute + MINUTE_MS)
        np.testing.assert_array_equal(columns(known, PAIR, minute, 1)[:, 0], table[:, t])
    np.testing.assert_array_equal(columns(news, PAIR, MINUTE + 700 * MINUTE_MS, 1_300), table[:, 700:])


def test_news_of_the_future_changes_nothing_before_it_is_known() -> None:
    news = made_news(2_000, 4)
    cut = MINUTE + 1_000 * MINUTE_MS
    other = News.of(
        [h for h in news.headlines if h.knowable_ms <= cut] + [headline(cut + 1, -1.0, "BTC")],
        [f for f in news.funding if f.knowable_ms <= cut],
    )
    a, b = columns(news, PAIR, MINUTE, 2_000), columns(other, PAIR, MINUTE, 2_000)
    np.testing.assert_array_equal(a[:, :1_000], b[:, :1_000])
    assert not np.array_equal(a, b)


def test_the_news_a_feed_hears_of_are_the_news_of_the_table() -> None:
    """Each slice carries the last day; once a source was away for a while, and what came late is put right."""
    total = HISTORY + 260
    bars, filler = fill_gaps(np.stack([walk(total, 1), walk(total, 2)]))
    first_minute = MINUTE - (HISTORY - 1) * MINUTE_MS
    news = made_news(400, 5)
    table = feature_table(bars, filler, first_minute, Extras.of(PAIR, bars, filler, first_minute, (), news))
    cache = Cache(PAIR)
    cache.restore(bars[:, :HISTORY], filler[:, :HISTORY], MINUTE)
    for t in range(HISTORY, total):
        minute = first_minute + t * MINUTE_MS
        away = 40 < t - HISTORY < 60
        said = None if away else news.known_at(minute + MINUTE_MS)
        market = cache.observe(tick(minute), replace(to_slice(minute, bars[:, t]), news=said), account(USDT="1000"))
        if not away:
            np.testing.assert_array_equal(market.features, table[:, t + 1 - SEQUENCE : t + 1])
    assert np.ptp(table[0, -200:, FEATURE_NAMES.index("news_score")]) > 0.0


def test_what_is_handed_on_is_what_a_model_still_looks_back_at() -> None:
    news = News.of([headline(MINUTE, 0.1, "BTC"), headline(MINUTE + 5, 0.1, key="later")])
    assert len(news.known_at(MINUTE).headlines) == 1
    assert len(news.known_at(MINUTE + KEPT_MS).headlines) == 2
    assert len(news.known_at(MINUTE + KEPT_MS + 1).headlines) == 1
    assert KEPT_MS >= HEADLINE_LASTS_MS + SEQUENCE * MINUTE_MS
