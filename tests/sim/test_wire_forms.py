"""The simulated Binance looks on the wire as the real one does: its numbers, and how it refuses what is written wrongly."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import quote

import aiohttp
import pytest

from core.units import MINUTE_MS
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.server import serve_exchange
from exchanges.simulated.walk import random_walk_tape
from tests.sim.conftest import KEY, MONEY, SECRET
from tests.sim.test_server import ME, signed

BEGIN = 1_767_225_600_000 + 60 * MINUTE_MS
UNIT = Decimal("1e-8")
NO_NUMBER = re.compile(r"[A-Z]|[a-z]{2}|^[a-z]$|^[0-9]+m$")
EIGHT = re.compile(r"-?[0-9]+\.[0-9]{8}")
OTHER_FORMS = {
    r"priceChangePercent$|^24hrTicker\.P$": r"-?[0-9]+\.[0-9]{3}",
    r"Multiplier(Up|Down)$": r"[0-9]+(\.[0-9]+)?",
    r"kline\.k\.B$|^klines\[[0-9]+\]\[11\]$": "0",
}
"""What the venue writes in another form, by its path."""
ON_THE_GRID = re.compile(
    r"(\.price|rade\.p|\.k\.[ohlc]|bookTicker\.[ba]|depth.*\[0\]|(bid|ask|last|open|high|low|prevClose)Price|"
    r"priceChange|klines\[[0-9]+\]\[[1234]\])$"
)
WHOLE_LOTS = re.compile(
    r"(\.qty|rade\.q|\.k\.[vV]|bookTicker\.[BA]|depth.*\]\[1\]|(bid|ask|last)Qty|\.volume|klines\[[0-9]+\]\[[59]\])$"
)


def texts(value, inside="") -> Iterator[tuple[str, str]]:
    """(path, text) of every string."""
    if isinstance(value, str):
        yield inside, value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from texts(part, f"{inside}.{name}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from texts(part, f"{inside}[{number}]")


def check_forms(where: str, answer, tick: Decimal, step: Decimal) -> int:
    """Every number that is written as text has 8 decimals, prices are on the grid, quantities whole lots."""
    seen = 0
    for path, text in texts(answer, where):
        if NO_NUMBER.search(text):
            continue
        seen += 1
        form = next((form for name, form in OTHER_FORMS.items() if re.search(name, path)), None)
        assert re.fullmatch(form, text) if form else EIGHT.fullmatch(text), (path, text)
        if ON_THE_GRID.search(path) and not path.startswith("avgPrice"):
            assert Decimal(text) % tick == 0, (path, text)
        if WHOLE_LOTS.search(path):
            assert Decimal(text) % step == 0, (path, text)
    return seen


@pytest.fixture
async def market():
    """A market in the middle of a minute, whose running bar is no whole one."""
    tape = random_walk_tape(("BTC/USDT", "XRP/USDT"), BEGIN - 60 * MINUTE_MS, 180, seed=5)
    exchange = SimulatedExchange(tape, tape.default_rules(), MONEY, BEGIN)
    running = await serve_exchange(exchange, credentials={KEY: SECRET})
    async with running.state.lock:
        await running.state.advance(BEGIN + 17_350)
    yield running
    await running.close()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def test_every_number_of_every_public_answer_has_the_venues_form(market, http):
    calls = ("exchangeInfo", "depth", "trades", "historicalTrades", "aggTrades", "klines?interval=1m")
    calls += (
        "klines?interval=5m",
        "uiKlines?interval=1h",
        "avgPrice",
        "ticker/24hr",
        "ticker/price",
        "ticker/bookTicker",
    )
    for row, symbol in enumerate(("BTCUSDT", "XRPUSDT")):
        rules = market.state.exchange.rules[row]
        for call in calls:
            path, _, more = call.partition("?")
            async with http.get(f"{market.url}/api/v3/{path}?symbol={symbol}&{more}".rstrip("&")) as answer:
                assert answer.status == 200
                name = path.rpartition("/")[2].replace("uiKlines", "klines")
                assert check_forms(name, await answer.json(), rules.tick, rules.step) > 0


async def test_frames_have_the_same_forms_and_agree_with_rest(market, http):
    streams = "/".join(
        f"xrpusdt@{s}" for s in ("kline_1m", "kline_5m", "bookTicker", "depth@100ms", "trade", "aggTrade")
    )
    streams += "/xrpusdt@ticker/xrpusdt@miniTicker/xrpusdt@depth5@100ms"
    rules = market.state.exchange.rules[1]
    frames = []
    async with http.ws_connect(f"{market.url}/stream?streams={streams}") as socket:
        async with market.state.lock:
            await market.state.advance(BEGIN + 30_000)
            await market.state.show_running_bars()
            await market.state.advance(BEGIN + MINUTE_MS)
        kinds = set()
        wanted = {"kline:True", "kline:False", "trade", "aggTrade", "depthUpdate", "bookTicker", "depth5"}
        while not wanted | {"24hrTicker", "24hrMiniTicker"} <= kinds:
            frame = (await socket.receive_json(timeout=5))["data"]
            kind = frame.get("e", "depth5" if "bids" in frame else "bookTicker")
            kinds.add(f"kline:{frame['k']['x']}" if kind == "kline" and frame["k"]["i"] == "1m" else kind)
            frames.append((kind, frame))
    for kind, frame in frames:
        check_forms(kind, frame, rules.tick, rules.step)
    final = next(f["k"] for kind, f in frames if kind == "kline" and f["k"]["x"] and f["k"]["i"] == "1m")
    longer = [f["k"] for kind, f in frames if kind == "kline" and f["k"]["i"] == "5m"]
    assert longer and not any(k["x"] for k in longer)
    query = f"symbol=XRPUSDT&startTime={BEGIN}&limit=1"
    async with http.get(f"{market.url}/api/v3/klines?{query}&interval=1m") as answer:
        row = (await answer.json())[0]
    assert row == [final[n] for n in ("t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q", "B")]
    async with http.get(
        f"{market.url}/api/v3/aggTrades?symbol=XRPUSDT&startTime={BEGIN}&endTime={BEGIN + 59_999}"
    ) as answer:
        trades = await answer.json()
    assert (trades[0]["a"], trades[-1]["a"], len(trades)) == (final["f"], final["L"], final["n"])
    assert sum(Decimal(t["q"]) for t in trades) == Decimal(final["v"])
    money = sum(Decimal(t["q"]) * Decimal(t["p"]) for t in trades)
    assert abs(money - Decimal(final["q"])) <= UNIT
    taken = sum(Decimal(t["q"]) for t in trades if not t["m"])
    assert taken == Decimal(final["V"])


async def test_longer_klines_are_made_of_minutes(market, http):
    async def ask(interval, **more):
        query = "&".join(f"{k}={v}" for k, v in more.items())
        async with http.get(
            f"{market.url}/api/v3/klines?symbol=BTCUSDT&interval={interval}&{query}".rstrip("&")
        ) as answer:
            return await answer.json()

    minutes = await ask("1m", limit=70)
    fives = await ask("5m", startTime=minutes[0][0], limit=100)
    whole = [row for row in fives if row[6] < minutes[-1][0]]
    assert len(whole) >= 10
    for row in whole:
        parts = [m for m in minutes if row[0] <= m[0] <= row[6]]
        assert row[6] == row[0] + 5 * MINUTE_MS - 1
        assert (row[1], row[4]) == (parts[0][1], parts[-1][4])
        assert Decimal(row[2]) == max(Decimal(p[2]) for p in parts)
        assert Decimal(row[5]) == sum(Decimal(p[5]) for p in parts)
        assert row[8] == sum(p[8] for p in parts)
    assert (await ask("5m", limit=3)) == (await ask("5m"))[-3:]
    hour = (await ask("1h", startTime=BEGIN - 60 * MINUTE_MS, limit=1))[0]
    parts = [m for m in await ask("1m", startTime=hour[0], limit=60) if m[0] <= hour[6]]
    assert (hour[1], hour[4], hour[8]) == (parts[0][1], parts[-1][4], sum(p[8] for p in parts))
    assert Decimal(hour[5]) == sum(Decimal(p[5]) for p in parts)
    seconds = await ask("1s", startTime=BEGIN, limit=20)
    assert [row[0] - BEGIN for row in seconds] == [1_000 * n for n in range(18)]
    assert sum(Decimal(row[5]) for row in seconds) == Decimal(minutes[-1][5])
    assert (seconds[1][8], seconds[1][1], seconds[1][4]) == (0, seconds[0][4], seconds[0][4])
    # The day that runs, from its midnight on; the week from its Monday, the month from its first.
    day, week, month = [(await ask(i))[-1] for i in ("1d", "1w", "1M")]
    assert [row[0] % 86_400_000 for row in (day, week, month)] == [0, 0, 0]
    assert (week[0] // 86_400_000 + 3) % 7 == 0
    assert month[6] - month[0] == 31 * 86_400_000 - 1


SYMBOL = "Illegal characters found in parameter 'symbol'; legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'."
LIMIT = "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."
NOT_SENT = "Mandatory parameter '{}' was not sent, was empty/null, or malformed."


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ("klines?symbol=btcusdt&interval=1m", -1100, SYMBOL),
        ("klines?symbol=BTC%00USDT&interval=1m", -1100, SYMBOL),
        ("klines?symbol=BTC%2FUSDT&interval=1m", -1100, SYMBOL),
        ("klines?symbol=BTCUSDT%0A&interval=1m", -1100, SYMBOL),
        ("depth?symbol=" + "A" * 51, -1100, SYMBOL),
        ("klines?symbol=%EF%BC%A2TC&interval=1m", -1100, SYMBOL),
        ("klines?symbol=LUNAUSDT&interval=1m", -1121, "Invalid symbol."),
        ("klines?symbol=BTCUSDT&interval=7m", -1120, "Invalid interval."),
        ("klines?symbol=XXX&interval=7m", -1121, "Invalid symbol."),
        ("klines?symbol=BTCUSDT", -1102, NOT_SENT.format("interval")),
        ("klines", -1102, NOT_SENT.format("symbol")),
        ("klines?symbol=&interval=1m", -1105, "Parameter 'symbol' was empty."),
        ("klines?symbol=BTCUSDT&interval=", -1105, "Parameter 'interval' was empty."),
        ("klines?symbol=BTCUSDT&interval=1m&startTime=", -1105, "Parameter 'startTime' was empty."),
        ("klines?symbol=BTCUSDT&interval=1m&limit=0", -1102, NOT_SENT.format("limit")),
        ("depth?symbol=BTCUSDT&limit=0", -1102, NOT_SENT.format("limit")),
        ("trades?symbol=BTCUSDT&limit=0", -1102, NOT_SENT.format("limit")),
        ("aggTrades?symbol=BTCUSDT&limit=0", -1102, NOT_SENT.format("limit")),
        ("depth?symbol=BTCUSDT&limit=-5", -1100, LIMIT),
        ("klines?symbol=BTCUSDT&interval=1m&limit=abc", -1100, LIMIT),
        ("klines?symbol=BTCUSDT&interval=1m&limit=1.5", -1100, LIMIT),
        ("klines?symbol=BTCUSDT&interval=1m&limit=%D9%A3", -1100, LIMIT),
        ("klines?symbol=BTCUSDT&interval=1m&limit=" + "9" * 21, -1100, LIMIT),
        ("klines?symbol=BTCUSDT&interval=1m&limit=" + "9" * 20, -1108, "Parameter 'limit' overflowed."),
        ("klines?symbol=BTCUSDT&interval=1m&startTime=-1", -1100, LIMIT.replace("limit", "startTime")),
        ("time?x=1", -1101, "Too many parameters; expected '0' and received '1'."),
        ("avgPrice?symbol=BTCUSDT&limit=1", -1101, "Too many parameters; expected '1' and received '2'."),
        ("klines?symbol=BTCUSDT&symbol=BTCUSDT&interval=1m", -1101, "Duplicate values for a parameter detected."),
        ("ticker/24hr?limit=1", -1104, "Not all sent parameters were read; read '0' parameter(s) but was sent '1'."),
        (
            "klines?symbol=BTCUSDT&interval=1m&since=1",
            -1104,
            "Not all sent parameters were read; read '2' parameter(s) but was sent '3'.",
        ),
        ("klines?since=1", -1102, NOT_SENT.format("symbol")),
        (
            "ticker/price?symbol=BTCUSDT&symbols=%5B%22BTCUSDT%22%5D",
            -1128,
            "Combination of optional parameters invalid.",
        ),
        ("ticker/24hr?type=SMALL", -1139, "Invalid ticker type."),
        (f"ticker/price?symbols={quote(json.dumps(['BTCUSDT', 'XRPUSDT']))}", -1100, None),
        (f"ticker/price?symbols={quote(json.dumps(['BTCUSDT', 'BTCUSDT']).replace(' ', ''))}", -1151, None),
        (
            f"ticker/price?symbols={quote(json.dumps(['BTCUSDT', 'LUNAUSDT']).replace(' ', ''))}",
            -1121,
            "Invalid symbol.",
        ),
        ("ticker/price?symbol=BTCUSDT&symbolStatus=HALT", -1220, None),
        ("ticker/price?symbolStatus=OPEN", -1122, "Invalid symbolStatus."),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=5", -1128, "Combination of optional parameters invalid."),
    ],
)
async def test_a_request_that_is_written_wrongly_is_refused_in_the_venues_words(market, http, asked, code, text):
    async with http.get(f"{market.url}/api/v3/{asked}") as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (400, code)
    assert text is None or body["msg"] == text


async def test_what_the_venue_takes_is_taken(market, http):
    async def ask(asked):
        async with http.get(f"{market.url}/api/v3/{asked}") as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    # An end before the start is no fault there, and more than the most is cut.
    assert await ask(f"klines?symbol=BTCUSDT&interval=1m&startTime={BEGIN}&endTime={BEGIN - 1}") == []
    assert len(await ask("klines?symbol=BTCUSDT&interval=1m&limit=99999999")) == 61
    assert len((await ask("depth?symbol=BTCUSDT&limit=99999999"))["bids"]) > 1
    assert await ask("ticker/price?symbolStatus=HALT") == []
    assert await ask("ticker/price?symbols=%5B%5D") == []
    small = await ask("ticker/24hr?symbol=BTCUSDT&type=MINI")
    assert set(small) < set(await ask("ticker/24hr?symbol=BTCUSDT"))


@pytest.mark.parametrize(
    ("method", "path", "params", "code"),
    [
        ("GET", "account", f"timestamp={BEGIN}&recvWindow=60001", -1131),
        ("GET", "account", f"timestamp={BEGIN}&recvWindow=-1", -1100),
        ("GET", "account", f"timestamp={BEGIN}&recvWindow=nan", -1100),
        ("GET", "account", "timestamp=now", -1100),
        ("GET", "account", f"timestamp={BEGIN}&symbol=BTCUSDT&limit=5&fromId=1", -1101),
        ("GET", "allOrders", f"symbol=BTCUSDT&startTime={BEGIN}&endTime={BEGIN}&timestamp={BEGIN}", -1102),
        ("GET", "allOrders", f"symbol=BTCUSDT&startTime=0&endTime={BEGIN}&timestamp={BEGIN}", -1127),
        ("GET", "myTrades", f"symbol=BTCUSDT&startTime=0&endTime={BEGIN}&timestamp={BEGIN}", -1127),
        ("GET", "myTrades", f"symbol=BTCUSDT&fromId=0&startTime=5&timestamp={BEGIN}", -1128),
        ("POST", "order", f"symbol=BTCUSDT&side=BUY&timestamp={BEGIN}", -1102),
        ("POST", "order", f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1e5&timestamp={BEGIN}", -1100),
        ("POST", "order", f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.1&leverage=3&timestamp={BEGIN}", -1104),
        ("POST", "order", f"symbol=BTCUSDT&side=BUY&type=LIMIT&pegPriceType=PRIMARY_PEG&timestamp={BEGIN}", -2010),
    ],
)
async def test_signed_requests_are_held_to_the_same(market, http, method, path, params, code):
    async with http.request(method, f"{market.url}/api/v3/{path}?{signed(params)}", headers=ME) as answer:
        body = await answer.json()
    assert (answer.status, body["code"]) == (400, code), body


async def test_the_query_goes_before_the_body(market, http):
    """A parameter that is in both counts as the query has it (General Information on Endpoints)."""
    query, body = f"symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001&timestamp={BEGIN + 17_350}", "quantity=1000"
    signature = signed(query + body).rpartition("=")[2]
    url = f"{market.url}/api/v3/order/test?{query}"
    async with http.post(url, headers=ME, data=f"{body}&signature={signature}") as answer:
        assert (answer.status, await answer.json()) == (200, {})


@pytest.mark.parametrize(
    "sent",
    ["{", "[]", "5", '{"id": 1}', '{"id": 1, "method": {"a": 1}}', '{"id": 1, "method": "time", "params": "x"}'],
)
async def test_the_websocket_api_refuses_what_is_no_request_and_goes_on(market, http, sent):
    async with http.ws_connect(market.ws_api_url) as socket:
        await socket.send_str(sent)
        answer = await socket.receive_json(timeout=5)
        assert (answer["status"], answer["error"]) == (400, {"code": -1135, "msg": "Invalid JSON Request"})
        await socket.send_str('{"id": 2, "method": "time"}')
        assert (await socket.receive_json(timeout=5))["status"] == 200


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        ("{", 3, "Invalid JSON: expected value at line 1 column"),
        ("PING", 3, "Invalid JSON: expected value at line 1 column 1"),
        ("[]", 2, "expected a request object"),
        ('{"id": 1}', 2, "missing field `method` at line 1 column 9"),
        (
            '{"method": "SUBSCRBE", "id": 1}',
            2,
            "unknown variant `SUBSCRBE`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`",
        ),
        ('{"method": 5, "id": 1}', 2, "unknown variant `5`"),
        ('{"method": "SUBSCRIBE", "id": 1}', 2, "missing field `params` at line 1 column 32"),
        ('{"method": "SUBSCRIBE", "params": ["btcusdt@trade"]}', 2, "request ID must be an unsigned integer"),
        ('{"method": "SUBSCRIBE", "params": "btcusdt@trade", "id": 1}', 2, "expected a sequence"),
        ('{"method": "SUBSCRIBE", "params": {"a": 1}, "id": 1}', 2, "expected a sequence"),
        ('{"method": "SUBSCRIBE", "params": [1, null], "id": 1}', 2, "expected a string"),
        (
            '{"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1.5}',
            2,
            "request ID must be an unsigned integer",
        ),
        ('{"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": {}}', 2, "request ID must be an unsigned integer"),
        ('{"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1, "to": 2}', 2, "too many parameters"),
        ('{"method": "GET_PROPERTY", "id": 1}', 2, "property name must be a string"),
        ('{"method": "GET_PROPERTY", "params": ["x"], "id": 1}', 0, "Unknown property"),
    ],
)
async def test_a_stream_refuses_what_is_no_request_in_the_venues_words(market, http, sent, code, said):
    async with http.ws_connect(f"{market.url}/ws") as socket:
        await socket.send_str(sent)
        error = (await socket.receive_json(timeout=5))["error"]
        assert (error["code"], said in error["msg"]) == (code, True), error
        await socket.send_str('{"method": "LIST_SUBSCRIPTIONS", "id": "still-here"}')
        assert await socket.receive_json(timeout=5) == {"result": [], "id": "still-here"}
