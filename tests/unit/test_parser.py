"""A mistake on the command line is answered with one line: what is wrong, what was meant, where all of it stands."""

import pytest

from config.parser import Parser


def told(capsys, *words: str) -> str:
    parser = Parser(prog="run.py data")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    one = verbs.add_parser("download")
    one.add_argument("--exchange", choices=("binance", "upbit"), required=True)
    one.add_argument("--minutes", type=int)
    verbs.add_parser("verify")
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(words)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("download", "--exchange", "upbit", "--minuts", "5"), "--minuts 5; did you mean --minutes, not --minuts? All"),
        (("download", "--exchang", "upbit"), "required: --exchange; did you mean --exchange, not --exchang? All"),
        (("download", "--exchange", "upbot"), "did you mean upbit? All"),
        (("download", "--exchange", "upbit", "--minutes", "x"), "argument --minutes: invalid int value: 'x'. All"),
        (("verfy",), "did you mean verify? All options: python3 run.py data --help"),
        ((), "required: VERB: one of download, verify. All options: python3 run.py data --help"),
    ],
)
def test_one_line_with_the_nearest_hint(capsys, words, said):
    line = told(capsys, *words)
    assert line.startswith("error: ")
    assert said in line


def test_the_help_that_is_named_is_that_of_the_chosen_verb(capsys):
    assert told(capsys, "download").endswith("All options: python3 run.py data download --help")
    assert told(capsys, "verify", "--zzz").endswith("All options: python3 run.py data verify --help")
