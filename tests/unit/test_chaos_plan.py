"""The plan of faults: the same chance and the same requests give the same faults, and a schedule happens for certain."""

import argparse

import numpy as np
import pytest

from core.errors import ConfigError
from core.units import MINUTE_MS
from exchanges.simulated.chaos.kinds import ANY, KINDS, chosen
from exchanges.simulated.chaos.market import FLAT_MINUTES, InterruptedMarket
from exchanges.simulated.chaos.plan import Chaos, Planned
from exchanges.simulated.chaos.spec import catalogue, parse_chaos
from exchanges.simulated.market import TapeMarket
from exchanges.simulated.walk import random_walk_tape

START = 1_767_225_600_000


def faults(chaos: Chaos, count: int = 2_000) -> list:
    """What happens to a mixed sequence of requests and frames."""
    seen = []
    for number in range(count):
        seen.append(chaos.request(ANY[number % len(ANY)], number))
        seen.append(chaos.frame("report", number))
        seen.append(chaos.link(number))
    return seen


def test_equal_seeds_give_equal_faults_and_another_seed_others():
    first, again, other = (faults(Chaos.seeded(seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert faults(Chaos(np.random.default_rng(7))) == first


def test_the_rate_is_the_share_of_requests_that_go_wrong():
    chaos = Chaos.seeded(3, rate=0.2)
    hits = sum(chaos.request("place", 0) is not None for _ in range(5_000))
    assert 0.18 < hits / 5_000 < 0.22
    assert not any(faults(Chaos.seeded(3, rate=0.0)))


def test_requests_do_not_shift_the_chances_of_frames():
    busy, idle = Chaos.seeded(7), Chaos.seeded(7)
    for _ in range(100):
        busy.request("place", 0)
    assert [busy.frame("report", 0) for _ in range(500)] == [idle.frame("report", 0) for _ in range(500)]


def test_only_and_rates_choose():
    only = {f.kind for f in faults(Chaos.seeded(1, rate=0.5, only=chosen("drop+dup"))) if f}
    assert only == {"drop-done", "drop-not", "dup-report"}
    rates = {f.kind for f in faults(Chaos.seeded(1, rates={"hide": 0.3, "stamp": 0.1})) if f}
    assert rates == {"hide", "stamp"}


def test_every_kind_of_a_place_comes_up_and_keeps_to_its_size_and_place():
    chaos = Chaos.seeded(5, rate=0.5)
    seen = {}
    for number in range(20_000):
        where = ANY[number % len(ANY)]
        fault = chaos.request(where, 0)
        if fault is not None:
            assert where in KINDS[fault.kind].strikes
            assert KINDS[fault.kind].low <= fault.size <= KINDS[fault.kind].high
            seen[fault.kind] = True
    assert set(seen) == {k.name for k in KINDS.values() if set(k.strikes) & set(ANY)}


def test_a_venue_has_only_its_own_faults():
    kinds = {f.kind for f in faults(Chaos.seeded(5, rate=0.9, venue="upbit")) if f}
    assert "stamp" not in kinds
    assert "unknown-done" in kinds
    assert Chaos.seeded(5, rate=0.9, venue="upbit").clock_offset_ms(10**9) == 0


def test_a_schedule_happens_at_its_call_and_time_and_no_more():
    chaos = Chaos(
        schedule=[
            Planned(kind="drop-done", where="place", nth=3),
            Planned(kind="hide", at_ms=500, times=2, size=1_000),
            Planned(kind="dup-report", nth=2),
        ]
    )
    assert [chaos.request("place", 0) and "x" for _ in range(2)] == [None, None]
    assert chaos.request("query", 600) is None
    third = chaos.request("place", 0)
    assert third is not None and third.kind == "drop-done"
    hidden = [chaos.request("place", 600) for _ in range(3)]
    assert [f and (f.kind, f.size) for f in hidden] == [("hide", 1_000), ("hide", 1_000), None]
    assert [f and f.kind for f in (chaos.frame("report", 0) for _ in range(3))] == [None, "dup-report", None]


def test_wrong_names_and_numbers_are_named():
    for wrong in ({"only": ("gremlins",)}, {"rates": {"gremlins": 0.1}}, {"schedule": [Planned(kind="gremlins")]}):
        with pytest.raises(ConfigError, match=r"gremlins.*known are slow-request"):
            Chaos.seeded(1, **wrong)
    for wrong in ({"rate": 1.5}, {"pace": 0.0}, {"rates": {"hide": -1.0}}):
        with pytest.raises(ConfigError, match="chances"):
            Chaos.seeded(1, **wrong)


def test_the_clock_jumps_and_stays_within_its_bound():
    chaos = Chaos.seeded(2)
    offsets = [chaos.clock_offset_ms(minute * MINUTE_MS) for minute in range(600)]
    assert offsets[0] == 0
    assert len(set(offsets)) > 5
    assert max(map(abs, offsets)) <= 1_300
    assert Chaos(schedule=[Planned(kind="clock", at_ms=50, size=-1_300)]).clock_offset_ms(50) == -1_300


def test_windows_are_of_the_seed_and_inside_the_market():
    end = START + 3_000 * MINUTE_MS
    windows = Chaos.seeded(4).windows("halt", 3, START, end)
    assert windows == Chaos.seeded(4).windows("halt", 3, START, end)
    assert windows
    assert all(START - MINUTE_MS < first < end and (first - START) % MINUTE_MS == 0 for _, first, _ in windows)
    assert Chaos().windows("halt", 3, START, end) == []


def test_a_halt_is_flat_then_a_hole_and_a_quiet_minute_only_flat():
    tape = random_walk_tape(("BTC/USDT", "ETH/USDT"), START, 60)
    market = TapeMarket(tape, tape.default_rules())
    minute = [START + m * MINUTE_MS for m in range(60)]
    halted = InterruptedMarket(market, [(0, minute[10], minute[15])], [(1, minute[20], minute[21])], flat=True)
    flat = halted.bar(0, minute[10], minute[11])
    assert flat is not None and flat.filler
    assert (flat.open, flat.close, flat.volume) == (tape.bar(0, minute[9]).close, tape.bar(0, minute[9]).close, 0.0)
    bars = [halted.bar(0, m, minute[59]) is not None for m in minute[9:16]]
    assert bars == [True] * (1 + FLAT_MINUTES) + [False] * (5 - FLAT_MINUTES) + [True]
    inside = minute[12] + 30_000
    assert not halted.trading(0, inside) and halted.trading(1, inside)
    assert halted.ladder(0, inside).bids == ()
    assert halted.room(0, inside) == 0 and halted.passage(0, inside) is None
    assert halted.trading(1, minute[20] + 5) and halted.ladder(1, minute[20] + 5).bids
    assert halted.room(1, minute[20] + 5) == 0 and halted.bar(1, minute[20], minute[30]).volume == 0.0
    assert halted.bar(0, minute[15], minute[16]) == market.bar(0, minute[15], minute[16])
    hole = InterruptedMarket(market, [(0, minute[10], minute[15])], [], flat=False)
    assert hole.bar(0, minute[10], minute[30]) is None


def test_words_of_the_command_line():
    assert parse_chaos("seed=7,rate=0.1,only=drop+dup-bar") == {
        "seed": 7,
        "rate": 0.1,
        "only": ("drop-done", "drop-not", "dup-bar"),
    }
    assert parse_chaos("7") == {"seed": 7}
    for wrong, said in (
        ("rate=0.1", "say seed"),
        ("seed=x", "seed=x"),
        ("seed=-1", "seed=-1"),
        ("seed=7,rate=2", "chances"),
        ("seed=7,only=gremlins", "gremlins"),
        ("seed=7,mood=bad", "known are seed"),
    ):
        with pytest.raises(argparse.ArgumentTypeError, match=said):
            parse_chaos(wrong)


def test_the_catalogue_names_every_fault():
    assert all(f"  {name} " in catalogue() for name in KINDS)
