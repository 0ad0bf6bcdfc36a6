"""How the simulated Binance says no: its numeric codes and its very texts.

Source of codes and texts: binance-spot-api-docs, errors.md.
"""

from core.errors import ExchangeRefused

DUPLICATE = "Duplicate order sent."


REJECT_REASONS = {
    "Account has insufficient balance for requested action.": "INSUFFICIENT_BALANCES",
    "Order would trigger immediately.": "STOP_PRICE_WOULD_TRIGGER_IMMEDIATELY",
    "Order would immediately match and take.": "WOULD_MATCH_IMMEDIATELY",
    "The relationship of the prices for the orders is not correct.": "OCO_BAD_PRICES",
}


class VenueRefusal(ExchangeRefused):
    """A refusal as the venue words it. ``number`` and ``text`` go over the wire as code and msg."""

    def __init__(
        self, number: int, text: str, status: int = 400, retry_after_s: int | None = None, data: dict | None = None
    ) -> None:
        super().__init__(f"simulated binance refused: {text} ({number})", code=str(number))
        self.number = number
        self.text = text
        self.status = status
        self.retry_after_s = retry_after_s
        self.data = data
        """What a cancel-replace did and did not do."""

    @property
    def reject_reason(self) -> str:
        """How an execution report words it (user-data-stream.md, Order Reject Reason)."""
        return REJECT_REASONS.get(self.text, "NONE")

    @property
    def is_duplicate(self) -> bool:
        """An order with the same client id stands: the first one exists."""
        return (self.number, self.text) == (-2010, DUPLICATE)


def filter_failure(name: str) -> VenueRefusal:
    return VenueRefusal(-1013, f"Filter failure: {name}")


def new_order_rejected(text: str) -> VenueRefusal:
    return VenueRefusal(-2010, text)


def insufficient_balance() -> VenueRefusal:
    return new_order_rejected("Account has insufficient balance for requested action.")


def duplicate_order() -> VenueRefusal:
    return new_order_rejected(DUPLICATE)


def would_match() -> VenueRefusal:
    return new_order_rejected("Order would immediately match and take.")


def market_closed() -> VenueRefusal:
    return new_order_rejected("Market is closed.")


def would_trigger() -> VenueRefusal:
    return new_order_rejected("Order would trigger immediately.")


def no_icebergs() -> VenueRefusal:
    return new_order_rejected("Iceberg orders are not supported for this symbol.")


def no_liquidity() -> VenueRefusal:
    """A market order by money, with nothing on the other side of the book."""
    return new_order_rejected("Order book liquidity is less than symbol minimum quantity.")


def cancel_restricted() -> VenueRefusal:
    return VenueRefusal(-2011, "Order was not canceled due to cancel restrictions.")


def amend_rejected(text: str) -> VenueRefusal:
    return VenueRefusal(-2038, text)


def cancel_rejected() -> VenueRefusal:
    return VenueRefusal(-2011, "Unknown order sent.")


def no_such_order() -> VenueRefusal:
    return VenueRefusal(-2013, "Order does not exist.")


def invalid_symbol() -> VenueRefusal:
    return VenueRefusal(-1121, "Invalid symbol.")


def missing(name: str) -> VenueRefusal:
    return VenueRefusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def empty(name: str) -> VenueRefusal:
    return VenueRefusal(-1105, f"Parameter '{name}' was empty.")


def too_many(expected: int, received: int) -> VenueRefusal:
    return VenueRefusal(-1101, f"Too many parameters; expected '{expected}' and received '{received}'.")


def not_all_read(read: int, sent: int) -> VenueRefusal:
    return VenueRefusal(-1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.")


def overflowed(name: str) -> VenueRefusal:
    return VenueRefusal(-1108, f"Parameter '{name}' overflowed.")


def bad_combination() -> VenueRefusal:
    return VenueRefusal(-1128, "Combination of optional parameters invalid.")


def too_long_a_span(hours: int) -> VenueRefusal:
    return VenueRefusal(-1127, f"More than {hours} hours between startTime and endTime.")


def not_needed(name: str) -> VenueRefusal:
    return VenueRefusal(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> VenueRefusal:
    return VenueRefusal(-1111, f"Parameter '{name}' has too much precision.")


def illegal(name: str, legal: str) -> VenueRefusal:
    return VenueRefusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def neither(one: str, other: str) -> VenueRefusal:
    return VenueRefusal(-1102, f"Param '{one}' or '{other}' must be sent, but both were empty/null!")


def no_permission() -> VenueRefusal:
    return VenueRefusal(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


def stp_not_allowed() -> VenueRefusal:
    return VenueRefusal(-1013, "This symbol does not allow the specified self-trade prevention mode.")


def not_valid(name: str) -> VenueRefusal:
    return VenueRefusal(-1130, f"Data sent for parameter '{name}' is not valid.")


def no_reference_price() -> VenueRefusal:
    return VenueRefusal(-2043, "This symbol doesn't have a reference price.")


def archived() -> VenueRefusal:
    return VenueRefusal(
        -2026, "Order was canceled or expired with no executed qty over 90 days ago and has been archived."
    )


def wrong_relation() -> VenueRefusal:
    return new_order_rejected("The relationship of the prices for the orders is not correct.")


def no_such_list() -> VenueRefusal:
    return VenueRefusal(-2013, "Order list does not exist.")
