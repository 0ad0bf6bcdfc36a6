"""What a source may answer: feeds of both kinds, and everything that is none."""

import json

import pytest

from data.sources.fetching import SourceFault
from data.sources.parsing import LONGEST_TITLE, MOST_ITEMS, parse_feed, parse_funding

NOW = 1_709_294_400_000  # 2024-03-01T12:00Z
HOUR = 3_600_000


def rss(*items: str, head: str = "") -> bytes:
    body = "".join(f"<item>{one}</item>" for one in items)
    return f'<?xml version="1.0"?>{head}<rss version="2.0"><channel><title>t</title>{body}</channel></rss>'.encode()


def item(title: str = "Bitcoin rallies", guid: str = "1", date: str = "Fri, 01 Mar 2024 10:00:00 GMT") -> str:
    return f"<title>{title}</title><guid>{guid}</guid>" + (f"<pubDate>{date}</pubDate>" if date else "")


def test_rss_and_atom_are_read() -> None:
    (one,) = parse_feed(rss(item("  Bitcoin &amp; <b>ether</b>\n rally ")), "s", NOW)
    assert (one.title, one.published_ms) == ("Bitcoin & ether rally", NOW - 2 * HOUR)
    atom = b"""<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>Ether up</title><id>x</id>
        <updated>2024-03-01T19:00:00+09:00</updated></entry></feed>"""
    (one,) = parse_feed(atom, "s", NOW)
    assert (one.title, one.published_ms) == ("Ether up", NOW - 2 * HOUR)


@pytest.mark.parametrize(
    ("date", "stamp"),
    [
        ("Fri, 01 Mar 2024 19:00:00 +0900", NOW - 2 * HOUR),
        ("2024-03-01 10:00:00", NOW - 2 * HOUR),  # no zone: UTC
        ("Fri, 01 Mar 2024 12:00:01 GMT", None),  # later than now
        ("Thu, 01 Jan 9999 00:00:00 GMT", None),
        ("Wed, 31 Dec 1969 00:00:00 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_stamp_is_believed_when_it_is_a_time_that_has_been(date, stamp) -> None:
    (one,) = parse_feed(rss(item(date=date)), "s", NOW)
    assert one.published_ms == stamp


BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FILE = '<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"<!DOCTYPE html><html><body><h1>Access denied</h1></body></html>", "web page"),
        (b"\n<html><head><title>Bitcoin crashes</title></head></html>", "web page"),
        (b'{"error": "quota"}', "can not be read"),
        (b"\x00\xff\xfe\x1f\x8b" * 50, "can not be read"),
        (b"file:///etc/passwd", "can not be read"),
        (b"http://127.0.0.1:1/rss", "can not be read"),
        (rss(item("&b;"), head=BOMB), "entities"),
        (rss(item("&secret;"), head=FILE), "entities"),
        (rss(item("&b;"), head=BOMB).decode().encode("utf-16"), "entities"),
    ],
)
def test_what_is_no_feed_is_a_lost_source_with_its_reason(body, said) -> None:
    with pytest.raises(SourceFault, match=said):
        parse_feed(body, "s", NOW)


def test_a_feed_without_items_is_one_that_says_nothing() -> None:
    assert parse_feed(rss(), "s", NOW) == ()


def test_a_feed_that_breaks_off_gives_what_came_before() -> None:
    found = parse_feed(rss(item(guid="1"), item(guid="2"))[:-60], "s", NOW)
    assert found[0].title == "Bitcoin rallies"


def test_an_id_is_one_headline_and_no_feed_speaks_for_another() -> None:
    (one,) = parse_feed(rss(item("first", "a"), item("second", "a")), "s", NOW)
    (other,) = parse_feed(rss(item("first", "a")), "other", NOW)
    assert one.title == "first"
    assert one.key != other.key


def test_lengths_are_bounded_and_titles_are_plain_text() -> None:
    found = parse_feed(rss(*(item("x" * 5_000, str(k)) for k in range(MOST_ITEMS + 5))), "s", NOW)
    assert (len(found), len(found[0].title)) == (MOST_ITEMS, LONGEST_TITLE)
    (one,) = parse_feed(
        rss(item("Up &lt;script&gt;alert(1)&lt;/script&gt;&#x202e; now", "a"), item(" ", "b")), "s", NOW
    )
    assert "<" not in one.title
    assert one.title.isprintable()


def test_a_record_says_when_it_was_known() -> None:
    head = '<rss version="2.0" xmlns:mh="urn:minutehand:news"><channel><item>'
    known = f"<mh:knowable>{NOW - 5}</mh:knowable>"
    tail = "</item></channel></rss>"
    (one,) = parse_feed((head + item(guid="abc") + known + tail).encode(), "s", NOW, recorded=True)
    assert (one.key, one.knowable_ms) == ("abc", NOW - 5)
    with pytest.raises(SourceFault, match="when each item could be known"):
        parse_feed((head + item() + tail).encode(), "s", NOW, recorded=True)


def test_funding_rates_are_read_and_nonsense_among_them_left_out() -> None:
    rows = [
        {"symbol": "BTCUSDT", "lastFundingRate": "0.00010000", "time": NOW},
        {"symbol": "ETHUSDT", "lastFundingRate": "nan"},
        {"symbol": "SOLUSDT", "lastFundingRate": "7"},
        {"symbol": "XRPUSDT"},
        {"symbol": "USDT", "lastFundingRate": "0.1"},
        "BTCUSDT",
        None,
        {"symbol": "BTCUSDT", "lastFundingRate": "0.00020000"},
    ]
    (one,) = parse_funding(json.dumps(rows).encode(), NOW)
    assert (one.base, one.rate_bps, one.knowable_ms) == ("BTC", pytest.approx(1.0), NOW)
    past = [{"symbol": "BTCUSDT", "lastFundingRate": "0.0001", "time": t} for t in (NOW - 5, NOW, NOW + 1)]
    assert [r.knowable_ms for r in parse_funding(json.dumps(past).encode(), NOW, recorded=True)] == [NOW - 5, NOW]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"code": -1}', b'[{"symbol": 1}]', b"[" * 100_000, b"null"])
def test_what_is_no_list_of_rates_is_a_lost_source(body) -> None:
    with pytest.raises(SourceFault):
        parse_funding(body, NOW)
