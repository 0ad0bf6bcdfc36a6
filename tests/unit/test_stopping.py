"""Ctrl-C and resume, as the person at the console meets them."""

import signal

import pytest
from rich.console import Console

from actors.verbs.replay_command import Asked, resumed_words


def test_a_first_ctrl_c_after_the_end_still_lets_the_summary_come(capsys):
    asked = Asked(Console())
    asked.over = True
    asked(signal.SIGINT, None)
    assert "the run is over, its summary follows" in capsys.readouterr().out
    with pytest.raises(KeyboardInterrupt):
        asked(signal.SIGINT, None)


def test_a_resume_of_what_was_active_says_what_it_did():
    assert resumed_words("anna", "halted") == "resumed by anna; trading was halted"
    assert "active already" in resumed_words("anna", "active")
