"""What the search may choose from: every line of the table is one that its family takes."""

import optuna
import pytest

from core.errors import ConfigError
from serve.models.registry import hyper_parameters, new_member
from tune.auto.space import ALL_DAYS, FAMILIES, FAMILY, WINDOW, Space, chosen, in_words, settings_of, split


def proposals(space: Space, count: int, seed: int = 1) -> list[dict]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    asked = [study.ask() for _ in range(count)]
    for trial in asked:
        space(trial)
    return [trial.params for trial in asked]


@pytest.mark.parametrize("family", FAMILIES)
def test_whatever_is_proposed_is_taken_by_its_family(family: str):
    known = hyper_parameters(family)
    assert {one.name for one in FAMILIES[family].ranges} <= known.keys()
    for config in proposals(Space((family,), 36.0), 8):
        name, hyper = settings_of(config)
        about_data, own = split(hyper)
        assert name == family
        assert set(about_data) == {WINDOW}
        new_member(family, **own)
        for one in FAMILIES[family].ranges:
            assert own[one.name] in one


@pytest.mark.parametrize("family", FAMILIES)
def test_every_range_says_its_unit_and_why(family: str):
    assert FAMILIES[family].why
    assert FAMILIES[family].needs_mb > 0
    for one in FAMILIES[family].ranges:
        assert one.unit
        assert one.why


def test_a_trial_has_its_own_family_s_parameters_alone():
    config = {FAMILY: "tcn", "tcn.steps": 200, "tcn.channels": 16, "gru.steps": 300}
    assert settings_of(config) == ("tcn", {"channels": 16, "steps": 200})


def test_every_family_gets_a_start():
    assert [start[FAMILY] for start in Space(tuple(FAMILIES), 36.0).starts()] == list(FAMILIES)


def test_a_window_as_long_as_the_past_is_no_window():
    (window,) = (one for one in Space(("rules",), 10.0).ranges("rules") if one.name == WINDOW)
    assert window.choices == (ALL_DAYS, 7)
    assert all(one.name != WINDOW for one in Space(("rules",), 5.0).ranges("rules"))


def test_families_are_chosen_in_the_table_s_order():
    assert chosen(None) == tuple(FAMILIES)
    assert chosen(" tcn, ridge") == ("ridge", "tcn")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rigde", "did you mean 'ridge'"),
        ("ridge,forest", "--families forest: cannot be searched; there are ridge"),
        ("rl", "train --rl"),
        (",", "names none"),
    ],
)
def test_an_unknown_family_is_named(text: str, said: str):
    with pytest.raises(ConfigError, match=said):
        chosen(text)


def test_settings_in_words():
    assert in_words({"rate": 0.0123456, "steps": 300}) == "rate 0.0123, steps 300"
    assert in_words({}) == "-"
