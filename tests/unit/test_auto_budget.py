"""A search's budget: how it is shared out, what is refused, and how the time runs."""

import pytest

from core.errors import ConfigError
from tune.auto.budget import (
    ACTOR_BYTES,
    DRIVER_BYTES,
    OBJECT_STORE_BYTES,
    RAY_BYTES,
    Budget,
    Clock,
    read_size,
    share,
    size,
)
from tune.auto.space import FAMILIES, MB, Space

GB = 10**9
EVERYTHING = Space(tuple(FAMILIES), 36.0)


def shared(memory: int = 8 * GB, cores: int = 2, space: Space = EVERYTHING, minutes: float = 20.0) -> Budget:
    return share(minutes=minutes, cores=cores, there=16, memory=memory, physical=32 * GB, space=space)


@pytest.mark.parametrize("memory", [4 * GB, 8 * GB, 16 * GB])
@pytest.mark.parametrize("cores", [1, 2, 6, 16])
def test_what_is_shared_out_is_never_more_than_there_is(memory: int, cores: int):
    made = shared(memory, cores)
    fixed = DRIVER_BYTES + RAY_BYTES + OBJECT_STORE_BYTES
    assert fixed + made.at_once * (made.trial_bytes + ACTOR_BYTES) <= memory
    assert made.trial_bytes >= EVERYTHING.needs_mb * MB
    assert 1 <= made.at_once * made.threads <= cores


def test_memory_decides_how_many_run_at_once_and_idle_cores_become_threads():
    made = shared(memory=4_600 * MB, cores=8)
    assert (made.at_once, made.threads) == (2, 4)


def test_one_of_a_thing_is_told_as_one():
    assert "20 minutes, 1 core, 8.0 GB: one trial at a time, with 1 thread and" in shared(cores=1).in_words()
    assert "2 cores, 8.0 GB: 2 trials at once, each with 1 thread and" in shared().in_words()


def test_too_little_memory_names_who_needs_it_and_the_amount_it_names_is_enough():
    with pytest.raises(ConfigError, match=r"--memory 2\.0 GB is too little: one trial of \w+ needs 1\.1 GB") as refused:
        shared(memory=2 * GB)
    enough = str(refused.value).partition("give ")[2].partition(" or leave")[0]
    # Told to a tenth, so a tenth more is on the safe side.
    assert shared(memory=read_size(enough) + 100 * MB).at_once == 1


def test_a_lean_family_runs_where_the_others_do_not_fit():
    with pytest.raises(ConfigError):
        shared(memory=2_800 * MB)
    assert shared(memory=2_800 * MB, space=Space(("ridge",), 36.0)).at_once == 1


def test_more_than_the_machine_has_is_refused():
    with pytest.raises(ConfigError, match="--cores 17: this machine lets us use 16"):
        shared(cores=17)
    with pytest.raises(ConfigError, match=r"--memory 64\.0 GB: this machine has 32\.0 GB"):
        shared(memory=64 * GB)


def test_the_end_has_its_part_of_the_time_and_a_step_a_limit():
    short, long = shared(minutes=4.0), shared(minutes=120.0)
    assert short.end_seconds == 48.0
    assert long.end_seconds == 300.0
    assert short.step_seconds < short.seconds - short.end_seconds


@pytest.mark.parametrize(
    ("text", "amount"), [("8GB", 8 * GB), ("1.5 GiB", 3 * 2**29), ("900mb", 900 * MB), ("2TB", 2_000 * GB)]
)
def test_sizes_are_read(text: str, amount: int):
    assert read_size(text) == amount


@pytest.mark.parametrize("text", ["8", "GB", "-1GB", "0GB", "8 gigs", "", "1e9"])
def test_what_is_no_size_is_named(text: str):
    with pytest.raises(ValueError, match="is not an amount of memory like 8GB"):
        read_size(text)


def test_sizes_for_people():
    assert (size(8 * GB), size(640 * MB)) == ("8.0 GB", "640 MB")


def test_a_clock_goes_on_from_what_earlier_starts_had_spent():
    now = [1_000.0]
    clock = Clock(lambda: now[0], 1_000.0, 300.0, shared(minutes=20.0))
    assert (clock.spent, clock.left, clock.search_left) == (300.0, 900.0, 660.0)
    now[0] += 100.0
    assert (clock.spent, clock.search_left, clock.search_ends) == (400.0, 560.0, 1_660.0)
    now[0] += 10_000.0
    assert (clock.left, clock.search_left) == (0.0, 0.0)
