"""What a fill costs and in which coin: the received one, the quote coin, or BNB while there is some.

One rule for everybody: the rate is the market's, the amount is cut to 8 decimals (``core.costs.commission``). Sources:
binance-spot-api-docs, faqs/commission_faq.md; Binance's fee page for the discount (``core.costs.BNB_FACTOR``).
"""

from decimal import Decimal
from typing import NamedTuple

from core.costs import BNB_FACTOR, UNIT, commission, fee_of_fill, units_of
from core.units import Side

DISCOUNT_ASSET = "BNB"


class Charge(NamedTuple):
    """A fee. ``beside``: it was set aside with the money of a buy, on top of what the coins cost."""

    asset: str
    amount: Decimal
    beside: bool = False


def fee_on(amount: Decimal, rate: Decimal) -> Decimal:
    """Fee on an amount, cut to the venue's 8 decimals."""
    return int(commission(units_of(amount), units_of(rate))) * UNIT


def plain_charge(
    side: Side, base: str, quote: str, quantity: Decimal, money: Decimal, rate: Decimal, in_quote: bool
) -> Charge:
    """From what comes in: base coin on a buy, quote coin on a sell. ``in_quote``: always the quote coin, which stands
    for a fee paid in another coin at its worth (``core.costs.fees_of``)."""
    buying = side is Side.BUY
    fee, in_base = fee_of_fill(buying, in_quote, units_of(rate), units_of(quantity), units_of(money))
    return Charge(base if in_base else quote, int(fee) * UNIT, beside=buying and not in_base)


def bnb_charge(money: Decimal, rate: Decimal, price: Decimal, free: Decimal) -> Charge | None:
    """The fee in BNB, a quarter off; None when there is not enough of it (``free``). ``price``: of a BNB in ``money``."""
    owed = fee_on(money / price, rate * BNB_FACTOR)
    return Charge(DISCOUNT_ASSET, owed) if owed <= free else None
