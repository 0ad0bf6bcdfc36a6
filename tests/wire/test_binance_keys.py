"""Ed25519 keys of Binance: told from HMAC secrets by their text, however they were pasted, and never shown."""

import base64
import traceback
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from core.errors import ConfigError
from core.messages import CancelOrder
from core.units import Instrument
from exchanges.binance.gateway import BinanceGateway
from exchanges.binance.signing import KeyPair
from tests.support.binance_stub import API_KEY, SECRET, BinanceStub
from tests.support.venue_stub import Reply

BTC = Instrument("binance", "BTC/USDT")
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

PASTED = {
    "as made": PEM,
    "with CRLF": PEM.replace("\n", "\r\n"),
    "without the last line end": PEM.strip(),
    "indented and trailing blanks": "\n".join(f"   {line} \t" for line in PEM.splitlines()),
    "on one line": PEM.replace("\n", " "),
    "escaped in JSON twice": PEM.replace("\n", "\\n"),
    "blank lines between": PEM.replace("\n", "\n\n"),
    "bare middle": "".join(PEM.splitlines()[1:-1]),
}


@pytest.mark.parametrize("text", PASTED.values(), ids=PASTED)
def test_however_it_was_pasted_it_is_the_same_key(text):
    pair = KeyPair(API_KEY, text)
    assert pair.secret == PEM.strip()
    assert len(pair.secret) == 118  # above 120 characters ccxt takes it for an RSA key
    signature = pair.sign({"b": 2, "a": 1})
    PRIVATE.public_key().verify(base64.b64decode(signature), b"a=1&b=2")
    assert text not in repr(pair)


@pytest.mark.parametrize("text", [PASTED["with CRLF"], PASTED["indented and trailing blanks"], PASTED["bare middle"]])
async def test_rest_requests_are_signed_after_percent_encoding(text):
    """Binance encodes first and signs then (since 2026-01-15, else -1022)."""
    async with BinanceStub() as stub:
        stub.on("DELETE", "/api/v3/order", Reply({"code": -1102, "msg": "x"}, status=400))
        gateway = BinanceGateway(stub.settings(), (API_KEY, text), [BTC])
        with pytest.raises(Exception, match="-1102"):
            await gateway.cancel(CancelOrder(client_id="mh:1/ü&=", instrument=BTC))
        await gateway.close()
        (sent,) = stub.calls("DELETE", "/api/v3/order")
    payload, _, signature = sent.raw.rpartition("&signature=")
    assert "%C3%BC%26%3D" in payload
    PRIVATE.public_key().verify(base64.b64decode(unquote(signature)), payload.encode())


def test_an_hmac_secret_is_left_as_it_is():
    pair = KeyPair(API_KEY, f" {SECRET}\r\n")
    assert pair.secret == SECRET
    assert len(bytes.fromhex(pair.sign({"a": 1}))) == 32


def encrypted() -> str:
    return PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()


def other_curve() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


MALFORMED = {
    "cut in the middle": (PEM[:60] + PEM[70:], "not a plain Ed25519"),
    "without its end": (PEM.rpartition("-----END")[0], "BEGIN or END line damaged"),
    "without its begin": (PEM.partition("-----BEGIN PRIVATE KEY-----")[2], "BEGIN or END line damaged"),
    "not base64": (PEM.replace("MC4C", "M*4C"), "not a plain Ed25519"),
    "with a password": (encrypted(), "password"),
    "of another curve": (other_curve(), "not a plain Ed25519"),
}


@pytest.mark.parametrize(("text", "said"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_key_is_one_clear_error_that_shows_none_of_it(text, said):
    with pytest.raises(ConfigError, match=said) as caught:
        KeyPair(API_KEY, text)
    told = "".join(traceback.format_exception(caught.value))
    middle = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    assert middle[:16] not in told
    assert caught.value.__context__ is None
