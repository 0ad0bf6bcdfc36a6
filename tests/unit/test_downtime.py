"""What happened to an account while the bot was down: prices are profit or loss, what came or went is a transfer."""

import json
import math
from decimal import Decimal

import pytest

from core.execution.stimuli import BalancesAgreed
from core.messages import TradingState, Verdicts
from core.params import RiskSettings, TradeSettings
from core.risk import Risk, RiskState
from core.units import MINUTE_MS, Side
from tests.support.fake_venue import BTC, ETH, MINUTE, FakeVenue, MemoryJournal, approved
from tests.support.markets import intents, market, rules
from tests.unit.test_execution_crash import At, live

ROWS = (BTC, ETH)
NOTHING = (math.nan, math.nan)


class Bot:
    """An executor and risk over one venue, minute by minute; ``killed`` starts both again from what is on disk."""

    def __init__(self, venue: FakeVenue) -> None:
        self.venue, self.journal, self.kept = venue, MemoryJournal(), RiskState().to_json()
        self.minute = MINUTE
        self.mids = (100.0, 50.0)
        self.killed()

    def killed(self, minutes: int = 1) -> None:
        """So many minutes pass before it is there again."""
        self.minute += minutes * MINUTE_MS
        self.executor = live(self.venue, self.journal)
        state = RiskState.from_json(json.loads(json.dumps(self.kept)))
        limits = RiskSettings(daily_loss_usdt=500)
        trade = TradeSettings(instruments=tuple(map(str, ROWS)))
        self.risk = Risk(trade, limits, {i: rules(i) for i in ROWS}, state)

    def play(self, orders=(), beats=(15_000, 30_000, 45_000)) -> TradingState:
        now = self.minute + MINUTE_MS
        account = self.executor.account(now)
        held = tuple(float(account.total("binance", i.base)) for i in ROWS)
        cash = float(account.total("binance", "USDT"))
        self.equity = cash + sum(h * m for h, m in zip(held, self.mids, strict=True))
        seen = market(
            ROWS, mids=self.mids, held=held, cash=cash, minute=self.minute, equity=self.equity, account=account
        )
        state = self.risk.review(seen, intents(seen, NOTHING)).state
        self.kept = self.risk.state.to_json()
        said = Verdicts(minute=self.minute, trace="t", state=state, state_reason="", approved=orders, refused=())
        self.executor.execute(At(self.minute), said)
        for beat in beats:
            self.executor.beat(now + beat)
        self.account = account
        self.minute += MINUTE_MS
        return state

    def lost_today(self) -> float:
        return self.risk.state.day_money - self.equity


def running() -> Bot:
    """Two minutes old, with a trade behind it: 10,000 USDT and some coins."""
    bot = Bot(FakeVenue(cash=Decimal(10_000)))
    bot.play()
    bot.play((approved("3.0", Side.BUY, BTC, bot.minute),))
    bot.play()
    assert bot.account.reconciled and len(bot.account.unexplained) == 0
    return bot


@pytest.mark.parametrize("amount", ["-4000", "4000"])
@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_a_transfer_is_the_same_whether_the_bot_ran_or_not(amount, down):
    bot = running()
    lost, peak, equity = bot.lost_today(), bot.risk.state.peak_equity, bot.equity
    bot.venue.balances["USDT"] += Decimal(amount)
    if down:
        bot.killed()
    first = bot.play()
    assert not bot.account.reconciled
    assert [(u.asset, u.amount) for u in bot.account.unexplained] == [("USDT", Decimal(amount))]
    bot.play()
    assert [(u.asset, u.amount) for u in bot.account.transferred] == [("USDT", Decimal(amount))]
    assert bot.play() is first is TradingState.ACTIVE
    assert bot.account.reconciled
    assert bot.lost_today() == pytest.approx(lost)
    assert bot.risk.state.peak_equity == pytest.approx(peak * bot.equity / equity)


def test_what_prices_did_meanwhile_is_profit_or_loss():
    bot = running()
    lost = bot.lost_today()
    bot.mids = (97.0, 50.0)
    bot.killed()
    bot.play()
    assert bot.account.reconciled
    assert bot.lost_today() == pytest.approx(lost + 103 * 3.0)
    bot.mids = (95.0, 50.0)
    bot.killed()
    assert bot.play() is TradingState.REDUCING
    assert bot.risk.state.reason.startswith("daily_loss_usdt: lost 515")


def test_a_transfer_and_a_loss_at_once_are_told_apart():
    bot = running()
    bot.venue.balances["BTC"] -= 50
    bot.mids = (99.0, 50.0)
    bot.killed()
    bot.play()
    assert [(u.asset, u.amount) for u in bot.account.unexplained] == [("BTC", Decimal(-50))]
    bot.play()
    assert bot.play() is TradingState.ACTIVE
    # At the price they have now, 50 coins that are gone took 50 USDT of the loss with them.
    assert bot.lost_today() == pytest.approx(103.0 + 0.3, abs=1.0)


def test_a_fill_that_came_while_it_was_down_is_no_transfer():
    bot = running()
    bot.venue.script.append("rest")
    bot.play((approved("0.9", Side.BUY, BTC, bot.minute),), beats=())
    (open_,) = [held for held in bot.venue.history if held.open]
    bot.venue.trade(open_.placed.client_id, open_.placed.quantity)
    bot.killed()
    bot.play()
    assert bot.account.unexplained == () and bot.account.reconciled, bot.account.difference
    assert bot.executor.machine.books.totals[BTC].bought == 3 + open_.placed.quantity


def test_what_was_agreed_upon_is_written_when_balances_moved_and_a_minute_later_not_again():
    bot = running()
    kinds = [kind for kind, _ in bot.journal.entries].count(BalancesAgreed.__name__)
    for _ in range(3):
        bot.play()
    bot.executor.stop(bot.minute)
    assert [kind for kind, _ in bot.journal.entries].count(BalancesAgreed.__name__) == kinds
    assert kinds >= 1


def test_a_journal_from_before_takes_the_first_balances_as_they_are():
    bot = running()
    bot.executor.stop(bot.minute)
    old = [(kind, text) for kind, text in bot.journal.entries if kind != BalancesAgreed.__name__]
    bot.journal = MemoryJournal(old)
    bot.venue.balances["USDT"] -= 4_000
    bot.killed()
    bot.play()
    assert bot.account.reconciled and bot.account.unexplained == ()
    assert bot.account.transferred == ()
