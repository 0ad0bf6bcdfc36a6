"""Whatever is asked of the simulated Binance, it answers as a venue does: never by breaking."""

import random

import aiohttp

from exchanges.simulated.binance import lists, private, public, trading
from exchanges.simulated.binance.budget import Allowance
from exchanges.simulated.binance.parameters import TAKES
from exchanges.simulated.server import serve_exchange
from tests.sim.conftest import KEY, SECRET
from tests.sim.test_server import ME, signed
from tests.support.scripted_market import BEGIN, steady, story

NAMES = [
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "stopPrice",
    "trailingDelta",
    "quoteOrderQty",
    "newClientOrderId",
    "orderId",
    "origClientOrderId",
    "newQty",
    "cancelReplaceMode",
    "cancelOrderId",
    "cancelOrigClientOrderId",
    "cancelRestrictions",
    "selfTradePreventionMode",
    "icebergQty",
    "newOrderRespType",
    "orderListId",
    "listClientOrderId",
    "aboveType",
    "abovePrice",
    "belowType",
    "belowStopPrice",
    "aboveStopPrice",
    "belowPrice",
    "belowTimeInForce",
    "limit",
    "fromId",
    "startTime",
    "endTime",
    "interval",
    "symbols",
    "spotBNBBurn",
    "preventedMatchId",
    "fromExecutionId",
    "computeCommissionRates",
    "orderRateLimitExceededMode",
]
VALUES = [
    "BTCUSDT",
    "NOPE",
    "BUY",
    "SELL",
    "LIMIT",
    "MARKET",
    "LIMIT_MAKER",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
    "GTC",
    "IOC",
    "FOK",
    "0",
    "1",
    "2",
    "0.1",
    "0.00001",
    "59000",
    "60500",
    "61000",
    "-1",
    "1e400",
    "NaN",
    "Infinity",
    "99999999999999999999",
    "0.000000001",
    "x",
    "%00",
    "%F0%9F%92%A9",
    "[]",
    '["BTCUSDT"]',
    "{}",
    "STOP_ON_FAILURE",
    "ALLOW_FAILURE",
    "ONLY_NEW",
    "NONE",
    "EXPIRE_TAKER",
    "EXPIRE_BOTH",
    "DECREMENT",
    "TRANSFER",
    "ACK",
    "FULL",
    "1m",
    "true",
    "false",
    "CANCEL_ONLY",
    "1e5",
    "a/b",
]
NUMBERS = ("1e400", "1e-400", "9" * 20, "9" * 21, "0." + "9" * 20, "0", "-0", "00059000", "59000.000")
LIKELY = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "0.1",
    "interval": "1m",
    "cancelReplaceMode": "ALLOW_FAILURE",
    "timeInForce": "GTC",
    "newQty": "0.05",
    "orderId": "1",
    "type": "LIMIT",
    "price": "61000",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "60500",
    "belowType": "STOP_LOSS",
    "belowStopPrice": "59500",
}
ROUTES = [route for module in (public, private, trading, lists) for route in module.ROUTES]


async def test_no_parameters_break_it():
    dice = random.Random(11)
    running = await serve_exchange(story(steady(5)), credentials={KEY: SECRET}, allowance=Allowance(weight=10**9))
    answers: dict[int, int] = {}
    try:
        async with aiohttp.ClientSession(running.url, timeout=aiohttp.ClientTimeout(total=10)) as http:
            for number in range(900):
                route = ROUTES[number % len(ROUTES)]
                known = TAKES[route.method, route.path.removeprefix("/api/v3/").removeprefix("/sapi/v1/")]
                taken = {name.removesuffix("!"): name.endswith("!") for name in known}
                likely = LIKELY if dice.random() < 0.1 else {n: v for n, v in LIKELY.items() if n in taken}
                params = {n: v for n, v in likely.items() if dice.random() < (0.95 if taken.get(n) else 0.6)}
                if dice.random() < 0.3:
                    params[dice.choice(list(params) or NAMES)] = dice.choice(VALUES)
                    params |= {dice.choice(("quantity", "price", "stopPrice")): dice.choice(NUMBERS)}
                if dice.random() < 0.3:
                    foreign = dice.sample(NAMES, dice.randint(0, 2))
                    params |= {
                        n: dice.choice(VALUES) for n in (*foreign, *dice.sample(list(taken), min(2, len(taken))))
                    }
                if dice.random() < 0.03:
                    params["symbol"] = f"BTCUSDT&symbol={dice.choice(VALUES)}"
                text = [f"{n}={v}" for n, v in params.items() if n not in ("timestamp", "signature")]
                query = signed("&".join([*text, f"timestamp={BEGIN}"])) if "signature" in taken else "&".join(text)
                async with http.request(route.method, f"{route.path}?{query}", headers=ME) as answer:
                    body = await answer.json()
                    answers[answer.status] = answers.get(answer.status, 0) + 1
                    assert answer.status in (200, 400, 401, 409, 429), (route, params, body)
                    assert answer.status == 200 or {"code", "msg"} <= set(body), (route, params)
                if number % 100 == 0:
                    async with running.state.lock:
                        await running.state.advance(running.state.exchange.now_ms + 500)
    finally:
        await running.close()
    # Enough of it was sense for the engine to have had something to do.
    assert answers[200] > 150, answers
    account = running.state.exchange.account
    assert all(account.free(a) >= 0 and account.locked(a) >= 0 for a in account.assets())
