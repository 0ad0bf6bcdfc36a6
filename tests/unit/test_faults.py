"""Vendor failures become our errors: by code, then status, then class; and nothing private is in the text."""

import socket

import aiohttp
import ccxt.async_support as ccxt
import pytest

from core.errors import ConfigError, ExchangeRefused, ExchangeUnavailable, OutcomeUnknown
from exchanges.faults import UnreadableAnswer, VenueFault, clean, translate

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SIGNED = f"binance POST https://api.binance.com/api/v3/order?apiKey={KEY}&signature={'ab' * 32}"


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


BY_CODE = [
    (400, "-1013", ExchangeRefused),
    (400, "-1021", ExchangeUnavailable),
    (400, "-1022", ExchangeRefused),
    (401, "-2015", ExchangeRefused),
    (400, "-2011", ExchangeRefused),
    (400, "-2013", ExchangeRefused),
    (400, "-2022", ExchangeRefused),
    (409, "-2021", OutcomeUnknown),
    (429, "-1003", ExchangeUnavailable),
    (429, "-1015", ExchangeUnavailable),
    (418, "-1003", ExchangeUnavailable),
    (403, "", ExchangeUnavailable),
    (404, "", ExchangeRefused),
    (408, "-1007", OutcomeUnknown),
    (504, "-1007", OutcomeUnknown),
    (500, "-1000", OutcomeUnknown),
    (500, "-1006", OutcomeUnknown),
    (503, "-1008", OutcomeUnknown),
    (502, "", OutcomeUnknown),
    (409, "", OutcomeUnknown),
    (200, "-1006", OutcomeUnknown),
]


@pytest.mark.parametrize(("status", "code", "ours"), BY_CODE)
def test_the_code_decides_then_the_status(status, code, ours):
    error = translate(VenueFault(status, code, "because", 3.0), placing=True, where="binance new order")
    assert type(error) is ours
    assert "binance new order: because" in str(error)
    if ours is ExchangeUnavailable:
        assert error.retry_after_s == 3.0
    if ours is ExchangeRefused:
        assert error.code == code


@pytest.mark.parametrize(("status", "code", "ours"), BY_CODE)
def test_a_question_has_no_unknown_outcome(status, code, ours):
    wanted = ExchangeUnavailable if ours is OutcomeUnknown else ours
    assert type(translate(VenueFault(status, code, "because"), placing=False)) is wanted


def test_a_duplicate_order_means_that_the_first_one_stands():
    fault = VenueFault(400, "-2010", "Duplicate order sent.")
    assert type(translate(fault, placing=True)) is OutcomeUnknown
    assert type(translate(VenueFault(400, "-2010", "Market is closed."), placing=True)) is ExchangeRefused


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (ccxt.InsufficientFunds('binance {"code":-2010,"msg":"Account has insufficient balance."}'), ExchangeRefused),
        (ccxt.InvalidNonce('binance {"code":-1021,"msg":"Timestamp outside of recvWindow."}'), ExchangeUnavailable),
        (ccxt.OperationFailed('binance {"code":-1006,"msg":"Execution status unknown."}'), OutcomeUnknown),
        (ccxt.ExchangeError('binance {"code":-2021,"msg":"Order cancel-replace partially failed."}'), OutcomeUnknown),
        (ccxt.InsufficientFunds("binance Account has insufficient balance for requested action."), ExchangeRefused),
        (ccxt.InvalidOrder("binance Duplicate order sent."), OutcomeUnknown),
        (ccxt.DDoSProtection('binance 429 {"code":-1003,"msg":"Too much request weight used."}'), ExchangeUnavailable),
        (ccxt.RequestTimeout(SIGNED), OutcomeUnknown),
        (ccxt.ExchangeNotAvailable(SIGNED), OutcomeUnknown),
        (ccxt.ExchangeError(SIGNED), OutcomeUnknown),
        (ccxt.AuthenticationError('binance requires "apiKey" credential'), ConfigError),
        (UnreadableAnswer(), OutcomeUnknown),
        (aiohttp.ServerDisconnectedError(), OutcomeUnknown),
        (ConnectionResetError(104, SIGNED), OutcomeUnknown),
        (TimeoutError(), OutcomeUnknown),
        (ValueError(SIGNED), OutcomeUnknown),
        (ConnectionRefusedError(111, SIGNED), ExchangeUnavailable),
        (
            caused(ccxt.ExchangeNotAvailable(SIGNED), socket.gaierror(-2, "Name or service not known")),
            ExchangeUnavailable,
        ),
        (caused(ccxt.RequestTimeout(SIGNED), aiohttp.ConnectionTimeoutError()), ExchangeUnavailable),
        (caused(ccxt.RequestTimeout(SIGNED), aiohttp.SocketTimeoutError()), OutcomeUnknown),
    ],
)
def test_plain_vendor_errors(error, ours):
    found = translate(error, placing=True, where="binance new order")
    assert type(found) is ours
    assert KEY not in str(found)
    assert "abab" not in str(found)
    assert str(found).startswith("binance new order")


def test_our_own_errors_pass_unchanged():
    ours = ConfigError("config.json: trade.invest_pct")
    assert translate(ours, placing=True) is ours


def test_a_venues_text_is_one_bounded_line_without_long_tokens():
    text = clean(f"no\nsuch\tkey {KEY} signature={'ab' * 32} " + "x" * 39 + " " + "y z " * 200)
    assert KEY not in text
    assert "abab" not in text
    assert text.isprintable()
    assert len(text) <= 200
    assert "x" * 39 in text
