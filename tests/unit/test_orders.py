"""The order table and the client ids."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Defect
from core.messages import OrderState
from core.orders import (
    LIVE,
    MAX_ID,
    SAID,
    TABLE,
    TERMINAL,
    OrderEvent,
    advance,
    client_id,
    diagram,
    instance_code,
    is_ours,
    parse_id,
    symbol_code,
)
from core.units import MINUTE_MS

MINUTE = 29_000_000 * MINUTE_MS


def test_every_state_has_a_row_and_is_live_or_terminal_or_planned():
    assert set(TABLE) == set(OrderState)
    assert set(OrderState) == LIVE | TERMINAL | {OrderState.PLANNED}
    assert not LIVE & TERMINAL


def test_an_ordinary_life():
    state = OrderState.PLANNED
    for event in (OrderEvent.SEND, OrderEvent.OPEN, OrderEvent.FILL_PART, OrderEvent.ASK_CANCEL, OrderEvent.CANCEL):
        state = advance(state, event)
    assert state is OrderState.CANCELLED


def test_an_illegal_step_names_state_and_event():
    with pytest.raises(Defect, match=r"'filled'.*'cancel'"):
        advance(OrderState.FILLED, OrderEvent.CANCEL)


@pytest.mark.parametrize("state", sorted(LIVE | {OrderState.PLANNED}))
def test_from_every_living_state_an_end_can_be_reached(state):
    reached, front = {state}, [state]
    while front:
        for after in TABLE[front.pop()].values():
            if after not in reached:
                reached.add(after)
                front.append(after)
    assert reached & TERMINAL


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_living_state_takes_every_end_the_venue_may_state(state):
    for event in (OrderEvent.FILL_ALL, OrderEvent.CANCEL, OrderEvent.EXPIRE):
        assert advance(state, event) in TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_late_fill_never_revives_an_ended_order_except_one_given_up(state):
    after = advance(state, OrderEvent.FILL_PART)
    assert after is (OrderState.PARTIAL if state is OrderState.REJECTED else state)


def test_unknown_ends_only_by_the_venues_word():
    assert OrderEvent.DROP not in TABLE[OrderState.UNKNOWN]
    assert OrderEvent.SEND not in TABLE[OrderState.UNKNOWN]


def test_only_a_planned_order_can_be_sent():
    assert [s for s in OrderState if OrderEvent.SEND in TABLE[s]] == [OrderState.PLANNED]


def test_a_venues_states_all_have_an_event():
    assert set(SAID) == set(OrderState) - {
        OrderState.PLANNED,
        OrderState.SENT,
        OrderState.UNKNOWN,
        OrderState.CANCELLING,
    }


def test_the_diagram_draws_every_step_of_the_table():
    text = diagram()
    assert text.startswith("stateDiagram-v2\n")
    drawn = {
        (a, label, b)
        for a, b, labels in re.findall(r"^    (\w+) --> (\w+): (.+)$", text, re.M)
        for label in labels.split(", ")
    }
    expected = {(s.value, e.value, a.value) for s, row in TABLE.items() for e, a in row.items() if a is not s}
    assert drawn == expected
    assert {s.value for s in TERMINAL} == set(re.findall(r"^    (\w+) --> \[\*\]$", text, re.M))


INSTANCES = st.from_regex(r"[a-z0-9]{1,6}", fullmatch=True)
STRATEGIES = st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)
SYMBOLS = st.tuples(
    st.text("ABCDEFGHIJ0123456789", min_size=1, max_size=14), st.sampled_from(["USDT", "KRW", "BTC"])
).map("/".join)


@given(INSTANCES, STRATEGIES, st.integers(0, 36**5 - 1), SYMBOLS, st.integers(0, 1_295))
def test_a_client_id_fits_every_venue_and_reads_back(instance, strategy, number, symbol, slice_index):
    name = client_id(instance, strategy, number * MINUTE_MS, symbol, slice_index)
    assert len(name) <= MAX_ID
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", name)
    assert parse_id(name) == (instance, strategy, number * MINUTE_MS, symbol_code(symbol), slice_index)
    assert is_ours(name, instance)
    assert name == client_id(instance, strategy, number * MINUTE_MS, symbol, slice_index)


def test_every_part_changes_the_id():
    base = ("main", "ens", MINUTE, "BTC/USDT", 0)
    others = [
        ("main2", "ens", MINUTE, "BTC/USDT", 0),
        ("main", "stop", MINUTE, "BTC/USDT", 0),
        ("main", "ens", MINUTE + MINUTE_MS, "BTC/USDT", 0),
        ("main", "ens", MINUTE, "ETH/USDT", 0),
        ("main", "ens", MINUTE, "BTC/USDT", 1),
    ]
    assert len({client_id(*args) for args in [base, *others]}) == 6


@pytest.mark.parametrize(
    "text",
    ["", "mh", "x-29384", "web_6f1c", "mh-main-ens", "mh-main2-ens-0h9ds-BTCUSDT-0", "amh-main-ens-0h9ds-BTCUSDT-0"],
)
def test_other_peoples_ids_are_not_ours(text):
    assert not is_ours(text, "main")


def test_an_instance_name_that_starts_like_ours_is_not_ours():
    assert not is_ours(client_id("main2", "ens", MINUTE, "BTC/USDT", 0), "main")
    assert not is_ours(client_id("main", "ens", MINUTE, "BTC/USDT", 0), "main2")


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (("Main!", "ens", MINUTE, "BTC/USDT", 0), "instance"),
        (("main", "ensemble", MINUTE, "BTC/USDT", 0), "strategy"),
        (("main", "ens", MINUTE + 1, "BTC/USDT", 0), "minute"),
        (("main", "ens", MINUTE, "BTC/USDT", -1), "slice"),
    ],
)
def test_parts_that_do_not_fit_are_named(args, fault):
    with pytest.raises(Defect, match=fault):
        client_id(*args)


def test_long_symbols_keep_apart():
    codes = {symbol_code(f"1000000VERYLONG{n}/USDT") for n in range(100)}
    assert len(codes) == 100
    assert all(len(code) <= 12 for code in codes)


def test_instance_code_keeps_what_fits_and_digests_what_does_not():
    assert instance_code("paper1") == "paper1"
    code = instance_code("My Second Bot")
    assert is_ours(client_id(code, "ens", MINUTE, "BTC/USDT", 0), code)
    assert code == instance_code("My Second Bot") != instance_code("my second bot")
