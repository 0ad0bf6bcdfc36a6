"""The order a client asks for, read from its parameters: which go together, and which values there are.

Source: docs.upbit.com, "Create order" and "Self-match prevention" (v1.6.4). Since 2026-11-09 an order that says nothing of
self-match prevention is ``cancel_maker``; a ``post_only`` one is ``none`` and may be nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from core.units import Side
from exchanges.simulated.upbit.errors import (
    WORDS,
    create_error,
    invalid_post_only,
    invalid_price,
    invalid_time_in_force,
    invalid_volume,
    lacks,
    no_such_market,
    validation_error,
)

SIDES = {word: side for side, word in WORDS.items()}
ORD_TYPES = ("limit", "price", "market", "best")
SMP_TYPES = ("cancel_maker", "cancel_taker", "reduce", "none")
DECIMALS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order as asked; its parameters go together, nothing else is checked yet."""

    row: int
    side: Side
    ord_type: str
    price: Decimal | None
    volume: Decimal | None
    time_in_force: str | None
    smp_type: str
    identifier: str | None


def read_order(params: Mapping[str, object], rows: Mapping[str, int]) -> Wanted:
    """An order from the parameters of POST /v1/orders; UpbitRefusal names what is wrong. ``rows`` by market code."""
    code, word, ord_type = (params.get(name) for name in ("market", "side", "ord_type"))
    if not code:
        raise lacks("market")
    if str(code) not in rows:
        raise no_such_market()
    side = SIDES.get(str(word))
    if side is None:
        raise lacks("side")
    if ord_type not in ORD_TYPES:
        raise lacks("ord_type")
    price, volume = number(params, "price"), number(params, "volume")
    _check_amounts(str(ord_type), side, price, volume)
    force = str(params["time_in_force"]) if params.get("time_in_force") else None
    smp = str(params["smp_type"]) if params.get("smp_type") else None
    if smp is not None and smp not in SMP_TYPES:
        raise validation_error("smp_type does not have a valid value")
    _check_force(str(ord_type), force, smp)
    default = "none" if force == "post_only" else "cancel_maker"
    identifier = str(params["identifier"]) if params.get("identifier") else None
    return Wanted(rows[str(code)], side, str(ord_type), price, volume, force, smp or default, identifier)


def number(params: Mapping[str, object], name: str) -> Decimal | None:
    """A decimal parameter, or None when it was not sent or is empty."""
    value = params.get(name)
    if value is None or value == "":
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise validation_error(f"{name} does not have a valid value") from None
    if isinstance(value, bool) or not found.is_finite():
        raise validation_error(f"{name} does not have a valid value")
    return found


def _check_amounts(ord_type: str, side: Side, price: Decimal | None, volume: Decimal | None) -> None:
    if (ord_type == "price" and side is Side.SELL) or (ord_type == "market" and side is Side.BUY):
        raise create_error(side)
    by_money = side is Side.BUY and ord_type in ("price", "best")
    needs_price = ord_type == "limit" or by_money
    needs_volume = ord_type == "limit" or not by_money
    for needed, value, name in ((needs_price, price, "price"), (needs_volume, volume, "volume")):
        if needed and value is None:
            raise lacks(name)
        if not needed and value is not None:
            raise create_error(side)
    if price is not None and (price <= 0 or _decimals(price) > DECIMALS):
        raise invalid_price(side)
    if volume is not None and (volume <= 0 or _decimals(volume) > DECIMALS):
        raise invalid_volume(side)


def _check_force(ord_type: str, force: str | None, smp: str | None) -> None:
    if force == "post_only":
        if ord_type != "limit" or smp not in (None, "none"):
            raise invalid_post_only()
    elif (
        force not in (None, "ioc", "fok")
        or (force is not None and ord_type not in ("limit", "best"))
        or (ord_type == "best" and force is None)
    ):
        raise invalid_time_in_force()


def _decimals(value: Decimal) -> int:
    return max(0, -int(value.normalize().as_tuple().exponent))
