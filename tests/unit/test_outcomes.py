"""The table of outcomes: each documented answer to an order, and whether an order may exist after it."""

import pytest

from exchanges.outcomes import BINANCE, OPEN_ENDED, TABLES, UPBIT, WITHOUT_ANSWER, Outcome, read

R, N, U, S, H = Outcome.REFUSED, Outcome.NOTHING, Outcome.UNKNOWN, Outcome.STANDS, Outcome.HALF

BINANCE_ROWS = [
    (400, "-1013", "Filter failure: NOTIONAL", R),
    (400, "-1013", "Filter failure: MAX_NUM_ORDERS", R),
    (400, "-1013", "Filter failure: LOT_SIZE", R),
    (400, "-1111", "Parameter 'quantity' has too much precision.", R),
    (400, "-2010", "Account has insufficient balance for requested action.", R),
    (400, "-2010", "Order would immediately match and take.", R),
    (400, "-2010", "Duplicate order sent.", S),
    (400, "-2010", "This action is disabled on this account.", R),
    (400, "-1021", "Timestamp for this request is outside of the recvWindow.", N),
    (400, "-1022", "Signature for this request is not valid.", R),
    (401, "-2015", "Invalid API-key, IP, or permissions for action.", R),
    (429, "-1003", "Too much request weight used.", N),
    (429, "-1015", "Too many new orders.", N),
    (418, "-1003", "Way too much request weight used; IP banned.", N),
    (418, "", "banned", N),
    (429, "", "slow down", N),
    (403, "", "", N),
    (408, "-1007", "Timeout waiting for response from backend server.", U),
    (504, "-1007", "Timeout waiting for response from backend server.", U),
    (504, "", "", U),
    (500, "-1000", "An unknown error occurred while processing the request.", U),
    (500, "-1006", "Execution status unknown.", U),
    (502, "", "Bad Gateway", U),
    (503, "", "Service Unavailable", U),
    (503, "-1008", "Server is currently overloaded with other requests.", U),
    (409, "-2021", "Order cancel-replace partially failed.", H),
    (400, "-2022", "Order cancel-replace failed.", R),
    (400, "-2011", "Unknown order sent.", R),
    (400, "-2013", "Order does not exist.", R),
    (400, "-2026", "Order was canceled or expired with no executed qty over 90 days ago and has been archived.", R),
    (409, "", "", U),
    (302, "", "", U),
    (200, "-1006", "Execution status unknown.", U),
    (200, "-1013", "Filter failure: LOT_SIZE", R),
    (200, "", "", Outcome.ACCEPTED),
]
UPBIT_ROWS = [
    (400, "under_min_total_bid", "최소주문금액 이상으로 주문해주세요.", R),
    (400, "insufficient_funds_ask", "주문가능한 금액이 부족합니다.", R),
    (400, "invalid_price_bid", "주문가격 단위를 잘못 입력하셨습니다.", R),
    (400, "validation_error", "잘못된 API 요청입니다.", R),
    (400, "create_bid_error", "주문 요청 정보가 올바르지 않습니다.", R),
    (400, "duplicated_identifier", "이미 사용한 identifier입니다.", S),
    (400, "validation_error", "identifier is already used", S),
    (401, "jwt_verification", "Jwt 토큰 검증에 실패했습니다.", R),
    (401, "nonce_used", "이미 사용한 nonce값입니다.", S),
    (401, "", "", S),
    (403, "out_of_scope", "권한이 부족합니다.", R),
    (403, "", "", N),
    (404, "order_not_found", "주문을 찾지 못했습니다.", R),
    (429, "too_many_requests", "요청 수 제한을 초과했습니다.", N),
    (429, "", "Too many API requests.", N),
    (418, "too_many_requests", "60초 동안 차단되었습니다.", N),
    (418, "", "", N),
    (400, "too_many_requests", "", N),
    (500, "server_error", "알 수 없는 에러가 발생했습니다.", U),
    (500, "", "Internal Server Error", U),
    (502, "", "Bad Gateway", U),
    (503, "", "Service Unavailable", U),
    (504, "", "Gateway Time-out", U),
    (408, "", "", U),
    (302, "", "", U),
    (201, "", "", Outcome.ACCEPTED),
]


@pytest.mark.parametrize(("status", "code", "text", "outcome"), BINANCE_ROWS)
def test_binance(status, code, text, outcome):
    assert read("binance", status, code, text).outcome is outcome


@pytest.mark.parametrize(("status", "code", "text", "outcome"), UPBIT_ROWS)
def test_upbit(status, code, text, outcome):
    assert read("upbit", status, code, text).outcome is outcome


@pytest.mark.parametrize("venue", TABLES)
def test_every_answer_whatever_it_is_has_a_row(venue):
    for status in range(100, 1_000):
        for code in ("", "-1", "-2010", "x", "validation_error"):
            assert read(venue, status, code, "words").outcome


def test_every_row_is_the_answer_to_something():
    for table, rows, venue in ((BINANCE, BINANCE_ROWS, "binance"), (UPBIT, UPBIT_ROWS, "upbit")):
        hit = {id(read(venue, status, code, text)) for status, code, text, _ in rows}
        hit |= {id(read(venue, status)) for status in (408, 409, 302)}
        assert [row.why for row in table if id(row) not in hit] == []


def test_after_which_outcomes_an_order_may_exist():
    assert {U, S, H} == OPEN_ENDED
    assert {WITHOUT_ANSWER[k] for k in WITHOUT_ANSWER if k != "no connection was made"} == {U}
    assert WITHOUT_ANSWER["no connection was made"] is N
