"""Which parameters each call of the simulated Binance takes, and how a request that is written wrongly is refused.

Names from binance-spot-api-docs, rest-api.md, "Parameters" of each endpoint (state of July 2026). Codes and texts from its
errors.md; how they go with which mistake from answers of the venue that others have published:
  ``klines``, ``depth`` and ``trades`` with ``limit=0``: -1102 as if it had not been sent; a negative one: -1100;
  a limit above the most is cut, not refused; ``symbol=`` and ``interval=``: -1105;
  a name twice: -1101 "Duplicate …"; more parameters than there are: -1101 "Too many …"; an unknown one: -1104.
The venue does not say in which order it looks: here form goes before meaning, in the order below. That a whole number
which no 64 bits hold "overflowed" (-1108) is our reading of errors.md.
"""

import re
from collections import Counter
from collections.abc import Sequence

from exchanges.simulated.refusals import VenueRefusal, empty, illegal, missing, not_all_read, overflowed, too_many

DIGITS = "^[0-9]{1,20}$"
NUMBER = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
SYMBOL = "^[\\w\\-._&&[^a-z]]{1,50}$"
"""The venue's own words, a pattern of Java: word characters but no small letters. Until 2025 ``^[A-Z0-9-_.]{1,20}$``."""
SYMBOLS = '^\\[("[\\w\\-._&&[^a-z]]{1,50}"(,"[\\w\\-._&&[^a-z]]{1,50}"){0,}){0,1}\\]$'
_NAME = "[A-Z0-9_.-]{1,50}"
_SYMBOL = re.compile(_NAME)
_SYMBOLS = re.compile(f'\\[("{_NAME}"(,"{_NAME}")*)?\\]')
_DIGITS = re.compile("[0-9]{1,20}")
_NUMBER = re.compile("[0-9]{1,20}(\\.[0-9]{1,20})?")
LONGEST = 2**63 - 1

_SIGNED = "recvWindow timestamp signature"
_ORDER = (
    "symbol! side! type! timeInForce quantity quoteOrderQty price newClientOrderId strategyId strategyType stopPrice "
    "trailingDelta icebergQty newOrderRespType selfTradePreventionMode pegPriceType pegOffsetValue pegOffsetType"
)
_LEGS = " ".join(
    f"{place}{name}"
    for place in ("above", "below")
    for name in (
        "Type!",
        "ClientOrderId",
        "IcebergQty",
        "Price",
        "StopPrice",
        "TrailingDelta",
        "TimeInForce",
        "StrategyId",
        "StrategyType",
        "PegPriceType",
        "PegOffsetType",
        "PegOffsetValue",
    )
)
_PUBLIC = {
    "ping": "",
    "system/status": "",
    "time": "",
    "exchangeInfo": "symbol symbols permissions showPermissionSets symbolStatus",
    "executionRules": "symbol symbols symbolStatus",
    "referencePrice": "symbol!",
    "referencePrice/calculation": "symbol! symbolStatus",
    "depth": "symbol! limit symbolStatus",
    "trades": "symbol! limit",
    "historicalTrades": "symbol! limit fromId",
    "aggTrades": "symbol! fromId startTime endTime limit",
    "klines": "symbol! interval! startTime endTime timeZone limit",
    "uiKlines": "symbol! interval! startTime endTime timeZone limit",
    "avgPrice": "symbol!",
    "ticker/24hr": "symbol symbols type symbolStatus",
    "ticker/price": "symbol symbols symbolStatus",
    "ticker/bookTicker": "symbol symbols symbolStatus",
}
_PRIVATE = {
    ("POST", "order"): _ORDER,
    ("POST", "order/test"): f"{_ORDER} computeCommissionRates",
    ("GET", "order"): "symbol! orderId origClientOrderId",
    ("DELETE", "order"): "symbol! orderId origClientOrderId newClientOrderId cancelRestrictions",
    ("DELETE", "openOrders"): "symbol!",
    ("POST", "order/cancelReplace"): f"{_ORDER} cancelReplaceMode! cancelNewClientOrderId cancelOrigClientOrderId "
    "cancelOrderId cancelRestrictions orderRateLimitExceededMode",
    ("PUT", "order/amend/keepPriority"): "symbol! orderId origClientOrderId newClientOrderId newQty!",
    ("GET", "order/amendments"): "symbol! orderId! fromExecutionId limit",
    ("GET", "openOrders"): "symbol",
    ("GET", "allOrders"): "symbol! orderId startTime endTime limit",
    ("POST", "orderList/oco"): f"symbol! listClientOrderId side! quantity! {_LEGS} newOrderRespType "
    "selfTradePreventionMode",
    ("GET", "orderList"): "orderListId origClientOrderId",
    ("DELETE", "orderList"): "symbol! orderListId listClientOrderId newClientOrderId",
    ("GET", "openOrderList"): "",
    ("GET", "allOrderList"): "fromId startTime endTime limit",
    ("GET", "account"): "omitZeroBalances",
    ("GET", "account/commission"): "symbol!",
    ("GET", "myTrades"): "symbol! orderId startTime endTime fromId limit",
    ("GET", "myPreventedMatches"): "symbol! preventedMatchId orderId fromPreventedMatchId limit",
    ("GET", "rateLimit/order"): "",
    ("GET", "account/apiRestrictions"): "",
    ("GET", "asset/tradeFee"): "symbol",
    ("GET", "bnbBurn"): "",
    ("POST", "bnbBurn"): "spotBNBBurn interestBNBBurn",
}
TAKES: dict[tuple[str, str], tuple[str, ...]] = {("GET", path): tuple(text.split()) for path, text in _PUBLIC.items()}
TAKES |= {key: (*text.split(), *_SIGNED.split()) for key, text in _PRIVATE.items()}
"""(method, path): what it takes; ``!`` marks what must be sent."""

_WHOLE = frozenset(
    [
        "limit",
        "fromId",
        "startTime",
        "endTime",
        "orderId",
        "orderListId",
        "cancelOrderId",
        "trailingDelta",
        "aboveTrailingDelta",
        "belowTrailingDelta",
        "timestamp",
        "preventedMatchId",
        "fromPreventedMatchId",
        "fromExecutionId",
        "strategyId",
        "strategyType",
    ]
)
_DECIMAL = frozenset(
    [
        "quantity",
        "quoteOrderQty",
        "price",
        "stopPrice",
        "icebergQty",
        "newQty",
        "abovePrice",
        "aboveStopPrice",
        "aboveIcebergQty",
        "belowPrice",
        "belowStopPrice",
        "belowIcebergQty",
        "recvWindow",
    ]
)


def check(
    key: tuple[str, str], query: Sequence[tuple[str, str]], body: Sequence[tuple[str, str]] = ()
) -> dict[str, str]:
    """The parameters of a request; VenueRefusal says what is wrong with their form.

    What is sent both in the query and in the body counts as the query has it (rest-api.md, "General Information on
    Endpoints").
    """
    for part in (query, body):
        if any(times > 1 for times in Counter(name for name, _ in part).values()):
            raise VenueRefusal(-1101, "Duplicate values for a parameter detected.")
    params = dict(body) | dict(query)
    takes = TAKES[key]
    names = [name.removesuffix("!") for name in takes]
    if len(params) > len(names):
        raise too_many(len(names), len(params))
    known = [name for name in names if name in params]
    for name in known:
        if not params[name]:
            raise empty(name)
    for name in takes:
        if name.endswith("!") and name[:-1] not in params:
            raise missing(name[:-1])
    for name in known:
        _form(name, params[name])
    if len(known) < len(params):
        raise not_all_read(len(known), len(params))
    return params


def _form(name: str, text: str) -> None:
    if name == "symbol" and not _SYMBOL.fullmatch(text):
        raise illegal(name, SYMBOL)
    if name == "symbols" and not _SYMBOLS.fullmatch(text):
        raise illegal(name, SYMBOLS)
    if name in _WHOLE:
        whole(name, text)
    if name in _DECIMAL and not _NUMBER.fullmatch(text):
        raise illegal(name, NUMBER)


def whole(name: str, text: str) -> int:
    """A whole number that is none below zero."""
    if not _DIGITS.fullmatch(text):
        raise illegal(name, DIGITS)
    value = int(text)
    if value > LONGEST:
        raise overflowed(name)
    if name == "limit" and value == 0:
        raise missing(name)
    return value
