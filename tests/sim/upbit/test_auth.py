"""Tokens of the simulated Upbit: taken and refused as the venue does."""

import hashlib

import pytest

from tests.sim.upbit.conftest import KEY, SECRET, Caller, make_exchange, serve, token

ASK = "market=KRW-BTC"
OTHER = hashlib.sha512(b"market=KRW-ETH").hexdigest()


async def call(http, server, authorization: str | None, path: str = f"orders/chance?{ASK}"):
    headers = {} if authorization is None else {"Authorization": authorization}
    async with http.get(f"{server.url}/v1/{path}", headers=headers) as answer:
        found = await answer.json()
        return answer.status, found["error"]["name"] if "error" in found else None


@pytest.mark.parametrize("algorithm", ["HS256", "HS512"])
async def test_both_algorithms_are_taken(server, http, algorithm):
    assert await call(http, server, f"Bearer {token(ASK, algorithm=algorithm)}") == (200, None)


@pytest.mark.parametrize(
    ("authorization", "name"),
    [
        (None, "no_authorization_token"),
        ("Bearer", "no_authorization_token"),
        (f"Basic {token(ASK)}", "no_authorization_token"),
        ("Bearer a.b.c", "jwt_verification"),
        ("Bearer nonsense", "jwt_verification"),
        (f"Bearer {token(ASK)}.x", "jwt_verification"),
        (f"Bearer {token(ASK, algorithm='none')}", "jwt_verification"),
        (f"Bearer {token(ASK, secret='another')}", "jwt_verification"),
        (f"Bearer {token(ASK, key='stranger')}", "invalid_access_key"),
        (f"Bearer {token(ASK, access_key=None)}", "invalid_access_key"),
        (f"Bearer {token(ASK, nonce=None)}", "jwt_verification"),
        (f"Bearer {token()}", "invalid_query_payload"),
        (f"Bearer {token(ASK, query_hash=OTHER)}", "invalid_query_payload"),
        (f"Bearer {token(ASK, query_hash_alg='SHA256')}", "invalid_query_payload"),
    ],
)
async def test_bad_tokens_by_name(server, http, authorization, name):
    assert await call(http, server, authorization) == (401, name)


async def test_a_nonce_works_once(server, http):
    used = f"Bearer {token(ASK)}"
    assert await call(http, server, used) == (200, None)
    assert await call(http, server, used) == (401, "nonce_used")
    async with http.ws_connect(f"{server.stream_url}/private", headers={"Authorization": f"Bearer {token()}"}):
        pass


async def test_addresses_age_and_rights(http):
    server = await serve(make_exchange(), key_rights=frozenset())
    try:
        api = Caller(http, server.url)
        assert (await api.get("accounts"))[0] == 200
        body = {"side": "bid", "ord_type": "price", "price": "10000"}
        assert await api.refused(**body) == (403, "out_of_scope")
        assert (await api.delete("order", uuid="x"))[1]["error"]["name"] == "out_of_scope"
        assert (await api.get("withdraws/chance", currency="BTC"))[1]["error"]["name"] == "out_of_scope"
        (listed,) = (await api.get("api_keys"))[1]
        assert listed == {"access_key": KEY, "expire_at": "2027-01-01T10:00:00+09:00"}
        keyring = server.state.keyring
        keyring.addresses = frozenset({"203.0.113.7"})
        assert await call(http, server, f"Bearer {token(ASK)}") == (401, "no_authorization_ip")
        keyring.addresses = frozenset({"127.0.0.1"})
        assert await call(http, server, f"Bearer {token(ASK)}") == (200, None)
        keyring.expired.add(KEY)
        assert await call(http, server, f"Bearer {token(ASK)}") == (401, "expired_access_key")
        assert SECRET not in repr(keyring)
    finally:
        await server.close()


async def test_a_key_that_may_withdraw_shows_it(http):
    server = await serve(make_exchange(), key_rights=frozenset({"trade", "withdraw"}))
    try:
        status, answer = await Caller(http, server.url).get("withdraws/chance", currency="BTC")
        assert (status, answer["withdraw_limit"]["can_withdraw"]) == (200, True)
    finally:
        await server.close()


async def test_the_hash_is_of_the_query_before_percent_encoding_or_as_sent(server, http):
    plain, sent = "states[]=wait&states[]=watch", "states%5B%5D=wait&states%5B%5D=watch"
    for text in (plain, sent):
        assert await call(http, server, f"Bearer {token(text)}", f"orders/open?{sent}") == (200, None)
