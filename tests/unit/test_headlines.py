"""Headlines: what they are about, how good their news is, and that the past stays as it was first known."""

import json

import polars as pl
import pytest

from core.errors import ConfigError
from core.news import FundingRate, Headline
from data.coin_names import coins_in
from data.headline_scores import LEXICON, lexicon, make_scorer
from data.headlines import IMPORT_DELAY_MS, heard_folder, load_news, read_stored, store_headlines
from data.import_report import ImportOptions
from data.importing import import_path
from data.lake import Lake
from data.sources.log import NewsLog
from data.verify import verify

DAY = 1_709_251_200_000  # 2024-03-01T00:00Z


@pytest.mark.parametrize(
    ("title", "coins"),
    [
        ("Bitcoin's rally lifts ether", ("BTC", "ETH")),
        ("Bitcoin Cash forks again", ("BCH",)),
        ("BTC/USDT and $SOL climb; xrp is quiet", ("BTC", "SOL")),
        ("Banks are near a link-up, says DOT", ()),
        ("$NEAR and (LINK) lead", ("LINK", "NEAR")),
        ("Ethereum Classic miner quits", ("ETC",)),
        ("Regulators meet in Seoul", ()),
    ],
)
def test_a_headline_names_coins_by_name_or_ticker(title, coins) -> None:
    assert coins_in(title) == coins


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Bitcoin hits all-time high", "Bitcoin hits all-time low"),
        ("Exchange lists SOL", "Exchange hacked, $40M drained"),
        ("SEC approves spot ETF", "SEC rejects spot ETF"),
        ("Ether surges past $4k", "Ether plunges below $2k"),
        ("Traders turn bullish", "Traders turn bearish"),
        ("Not bearish at all", "Bearish"),
        ("Lender resumes withdrawals", "Lender halts withdrawals"),
    ],
)
def test_good_news_scores_above_bad_news(better, worse) -> None:
    score = lexicon().score
    assert score(worse) < 0.0
    assert -1.0 <= score(worse) < score(better) <= 1.0


@pytest.mark.parametrize("title", ["", "Grayscale Bitcoin Trust shares", "Bored Ape Yacht Club", "🚀", "x" * 100_000])
def test_what_says_nothing_scores_about_nothing(title) -> None:
    assert abs(lexicon().score(title)) < 0.45
    assert lexicon().score(title) == lexicon().score(title)


def test_names_of_things_are_no_feelings() -> None:
    assert lexicon().score("Trust company adds securities to treasury assets") == 0.0


def test_a_transformer_that_is_not_there_is_said_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="must name the folder"):
        make_scorer("transformer")
    with pytest.raises(ConfigError, match=r"transformers is not installed|no usable model"):
        make_scorer("transformer", "nowhere")


def test_an_import_names_bad_rows_and_keeps_each_headline_once(tmp_path) -> None:
    path, lake = tmp_path / "news.csv", Lake(tmp_path / "lake")
    titles = ["Bitcoin rallies", "Bitcoin rallies", " ", "Ether hacked", "Nothing"]
    times = [str(DAY), str(DAY), str(DAY), str(DAY + 60_000), "soon"]
    pl.DataFrame({"ts": times, "headline": titles, "source": ["A"] * 5}).write_csv(path)
    (report,) = import_path(lake, path, ImportOptions()).files
    said = [str(f) for f in report.findings]
    assert (report.kind, report.new, report.bad, report.duplicates) == ("headlines", 2, 2, 1)
    assert any("it has no title" in text for text in said)
    assert any("its time can not be read" in text for text in said)
    news = load_news(lake.root).headlines
    assert [(h.knowable_ms, h.bases) for h in news] == [
        (DAY + IMPORT_DELAY_MS, ("BTC",)),
        (DAY + IMPORT_DELAY_MS + 60_000, ("ETH",)),
    ]
    assert news[0].score > 0.0 > news[1].score
    (again,) = import_path(lake, path, ImportOptions()).files
    assert (again.new, again.unchanged) == (0, 2)


def headline(ms: int, key: str, title: str = "Bitcoin rallies", score: float = 0.5) -> Headline:
    return Headline(knowable_ms=ms, key=key, source="s", title=title, bases=("BTC",), score=score)


def test_a_revision_never_rewrites_the_past(tmp_path) -> None:
    log = NewsLog(heard_folder(tmp_path))
    log.append([headline(DAY, "a")], [], LEXICON)
    before = load_news(tmp_path)
    log.append([headline(DAY + 5_000, "a", "Bitcoin plunges", -0.9)], [], LEXICON)
    assert load_news(tmp_path) == before


def test_a_torn_line_costs_one_item_and_no_other(tmp_path) -> None:
    log = NewsLog(heard_folder(tmp_path))
    log.append([headline(DAY, "a")], [FundingRate(knowable_ms=DAY, base="BTC", rate_bps=1.0)], LEXICON)
    (path,) = heard_folder(tmp_path).glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"kind": "headline", "knowable_ms": 17')
    log.append([headline(DAY + 1, "b")], [], LEXICON)
    news = load_news(tmp_path)
    assert [h.key for h in news.headlines] == ["a", "b"]
    assert [f.rate_bps for f in news.funding] == [1.0]
    assert [h.key for h in log.read(DAY + 1).headlines] == ["b"]


def test_scores_of_an_older_lexicon_are_taken_anew_and_others_stay(tmp_path) -> None:
    for scorer, kept in (("lexicon-0", False), (LEXICON, True), ("transformer:x", True)):
        store_headlines(tmp_path, [headline(DAY, "a", score=0.125)], scorer)
        (found,) = read_stored(tmp_path)
        assert found.score == (0.125 if kept else lexicon().score("Bitcoin rallies"))


def test_a_log_of_nonsense_is_an_empty_one(tmp_path) -> None:
    folder = heard_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "2024-03.jsonl").write_bytes(b"\xff\xfe\n[]\n" + json.dumps({"kind": "headline"}).encode() + b"\n")
    assert not load_news(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("score", "NaN"),
        ("score", "1e999"),
        ("score", "-3"),
        ("knowable_ms", "1e999"),
        ("knowable_ms", "NaN"),
        ("published_ms", "Infinity"),
        ("title", "[" * 5_000),
        ("rate_bps", "NaN"),
        ("rate_bps", "-1e999"),
    ],
)
def test_a_line_with_a_number_that_is_none_costs_its_item_and_no_other(tmp_path, name, value) -> None:
    log = NewsLog(heard_folder(tmp_path))
    log.append([headline(DAY, "a")], [FundingRate(knowable_ms=DAY, base="BTC", rate_bps=1.0)], LEXICON)
    (path,) = heard_folder(tmp_path).glob("*.jsonl")
    good = [json.loads(text) for text in path.read_text().splitlines()]
    (bent,) = (
        dict(line, key="b", **{name: 0})
        for line in good
        if name in line and ("rate_bps" in line) == (name == "rate_bps")
    )
    text = json.dumps(bent).replace(f'"{name}": 0', f'"{name}": {value}')
    path.write_text("".join(f"{line}\n" for line in (*map(json.dumps, good), text)))
    news = load_news(tmp_path)
    assert [(h.key, h.score) for h in news.headlines] == [("a", 0.5)]
    assert [f.rate_bps for f in news.funding] == [1.0]


def test_verify_reads_headlines_and_what_was_heard(tmp_path) -> None:
    store_headlines(tmp_path, [headline(DAY, "a"), headline(DAY, "b", score=3.0)], "transformer:x")
    NewsLog(heard_folder(tmp_path)).append([headline(DAY, "c")], [], LEXICON)
    with next(heard_folder(tmp_path).glob("*.jsonl")).open("ab") as file:
        file.write(b"{")
    stored, heard = sorted(verify(Lake(tmp_path)).files, key=lambda check: -check.rows)
    assert (stored.rows, [f.code for f in stored.findings]) == (2, ["bad_headline"])
    assert (heard.rows, [f.code for f in heard.findings]) == (1, ["torn"])
