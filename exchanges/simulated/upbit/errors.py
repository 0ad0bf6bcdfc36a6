"""How the simulated Upbit says no: error names, statuses and texts, and the engine's refusals in its words.

Names and statuses from docs.upbit.com, "REST API usage and errors" (v1.6.4) and the error guide of global-docs.upbit.com,
August 2026. The venue publishes a part of its names only; those of order rules (``invalid_price_*``,
``duplicated_identifier``, ``over_krw_funds_*``, ``market_offline`` …) are known from public clients that list them. Quotation calls
name an error by its HTTP status as a number, exchange calls by a word. Programs should branch on the name: the texts
are plausible, not the venue's very own.
"""

from core.errors import ExchangeRefused
from core.units import Side
from exchanges.simulated.refusals import VenueRefusal

WORDS = {Side.BUY: "bid", Side.SELL: "ask"}


class UpbitRefusal(ExchangeRefused):
    """A refusal as it goes over the wire: ``{"error": {"name", "message"}}`` under ``status``."""

    def __init__(self, status: int, name: str | int, text: str) -> None:
        super().__init__(f"simulated upbit refused: {name}: {text}", code=str(name))
        self.status = status
        self.name = name
        self.text = text

    def body(self) -> dict:
        return {"error": {"name": self.name, "message": self.text}}


# Quotation


def missing_parameter() -> UpbitRefusal:
    return UpbitRefusal(400, 400, "Missing request parameter error. Check the required parameters!")


def type_mismatch() -> UpbitRefusal:
    return UpbitRefusal(400, 400, "Type mismatch error. Check the parameters type!")


def out_of_range() -> UpbitRefusal:
    """The "parameter range error" of the quotation calls' documents; also what a time that cannot be read is told."""
    return UpbitRefusal(400, 400, "Invalid parameter. Check the given value!")


def no_such_code() -> UpbitRefusal:
    return UpbitRefusal(404, 404, "Code not found")


# Who asks


def unauthorized(name: str, text: str) -> UpbitRefusal:
    return UpbitRefusal(401, name, text)


def no_token() -> UpbitRefusal:
    return unauthorized("no_authorization_token", "인증 토큰이 없습니다.")


def jwt_verification() -> UpbitRefusal:
    return unauthorized("jwt_verification", "Jwt 토큰 검증에 실패했습니다.")


def invalid_access_key() -> UpbitRefusal:
    return unauthorized("invalid_access_key", "잘못된 엑세스 키입니다.")


def expired_access_key() -> UpbitRefusal:
    return unauthorized("expired_access_key", "만료된 엑세스 키입니다.")


def nonce_used() -> UpbitRefusal:
    return unauthorized("nonce_used", "이미 사용한 nonce값입니다.")


def invalid_query_payload() -> UpbitRefusal:
    return unauthorized("invalid_query_payload", "Jwt의 query를 검증하는데 실패하였습니다.")


def no_authorization_ip() -> UpbitRefusal:
    return unauthorized("no_authorization_ip", "인증되지 않은 IP입니다.")


def out_of_scope() -> UpbitRefusal:
    return UpbitRefusal(403, "out_of_scope", "권한이 부족합니다.")


# Limits


def too_many_requests() -> UpbitRefusal:
    return UpbitRefusal(429, "too_many_requests", "요청 수 제한을 초과했습니다.")


def blocked(seconds: int) -> UpbitRefusal:
    """The documents promise a block time in the answer and do not show its form."""
    return UpbitRefusal(418, "too_many_requests", f"요청 수 제한을 초과하여 {seconds}초 동안 차단되었습니다.")


# Orders


def validation_error(text: str) -> UpbitRefusal:
    return UpbitRefusal(400, "validation_error", text)


def lacks(name: str) -> UpbitRefusal:
    return validation_error(f"{name} is missing, {name} does not have a valid value")


def create_error(side: Side) -> UpbitRefusal:
    return UpbitRefusal(400, f"create_{WORDS[side]}_error", "주문 요청 정보가 올바르지 않습니다.")


def invalid_price(side: Side) -> UpbitRefusal:
    return UpbitRefusal(
        400, f"invalid_price_{WORDS[side]}", "주문가격 단위를 잘못 입력하셨습니다. 확인 후 시도해주세요."
    )


def invalid_volume(side: Side) -> UpbitRefusal:
    return UpbitRefusal(400, f"invalid_volume_{WORDS[side]}", "주문수량을 잘못 입력하셨습니다. 확인 후 시도해주세요.")


def under_min_total(side: Side, least: str, currency: str) -> UpbitRefusal:
    return UpbitRefusal(
        400, f"under_min_total_{WORDS[side]}", f"최소주문금액 이상으로 주문해주세요. ({least} {currency})"
    )


def over_funds(side: Side) -> UpbitRefusal:
    return UpbitRefusal(400, f"over_krw_funds_{WORDS[side]}", "최대 주문 가능 금액을 초과했습니다.")


def insufficient_funds(side: Side, currency: str) -> UpbitRefusal:
    return UpbitRefusal(400, f"insufficient_funds_{WORDS[side]}", f"주문가능한 금액({currency})이 부족합니다.")


def duplicated_identifier() -> UpbitRefusal:
    return UpbitRefusal(400, "duplicated_identifier", "이미 사용한 identifier입니다.")


def invalid_time_in_force() -> UpbitRefusal:
    return UpbitRefusal(400, "invalid_time_in_force", "주문 조건이 올바르지 않습니다.")


def invalid_post_only() -> UpbitRefusal:
    return UpbitRefusal(400, "invalid_post_only", "post_only 조건을 사용할 수 없는 주문입니다.")


def order_not_found() -> UpbitRefusal:
    return UpbitRefusal(404, "order_not_found", "주문을 찾지 못했습니다.")


def no_such_market() -> UpbitRefusal:
    return UpbitRefusal(404, "notfoundmarket", "존재하지 않는 마켓입니다.")


def market_offline() -> UpbitRefusal:
    return UpbitRefusal(400, "market_offline", "거래가 일시 중지된 마켓입니다.")


def not_served(method: str, path: str) -> UpbitRefusal:
    """The name is the venue's ("no Route matched with those values"); the text says what else may be the matter."""
    return UpbitRefusal(404, "not_found", f"no Route matched with those values: {method} {path} is not served here")


def of_engine(refusal: VenueRefusal, side: Side, currency: str) -> UpbitRefusal:
    """What the engine refused in Binance's numbers, as Upbit names it. ``currency``: what the order pays with."""
    number, text = refusal.number, refusal.text
    if number == -1121:
        return no_such_market()
    if number in (-2011, -2013):
        return order_not_found()
    if number == -2010 and "balance" in text:
        return insufficient_funds(side, currency)
    if number == -2010 and "closed" in text:
        return market_offline()
    if number == -2010 and "Duplicate" in text:
        return duplicated_identifier()
    if number == -1013 and "PRICE" in text:
        return invalid_price(side)
    if number == -1013 and "LOT_SIZE" in text:
        return invalid_volume(side)
    return create_error(side)
