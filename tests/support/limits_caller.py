"""Mixed calls of a gateway against a simulator, in a process of its own."""

import asyncio
import json
import multiprocessing
import multiprocessing.process
import random
import time
from decimal import Decimal
from pathlib import Path

from config.settings import ExchangeSettings
from core.errors import BotError
from core.messages import CancelOrder, PlaceOrder
from core.units import Instrument, Side
from exchanges.limits.sharing import shared_gate
from exchanges.limits.store import monotonic_ms
from exchanges.venues import gateway_of
from tests.support.binance_stub import API_KEY, SECRET
from tests.support.download_child import PRELOAD

WALL = 1_772_000_000_000


async def call(venue: str, url: str, folder: Path, seconds: float, seed: int) -> dict[str, int]:
    """What became of the calls: how many of each kind were answered, how many kept back or refused."""
    btc = Instrument(venue, "BTC/USDT" if venue == "binance" else "BTC/KRW")
    gate = shared_gate(folder, venue, url, lambda: WALL + monotonic_ms())
    gateway = gateway_of(venue, ExchangeSettings(rest_url=url), (API_KEY, SECRET), [btc], ledger=gate)
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    said: dict[str, int] = {}

    def note(word: str) -> None:
        said[word] = said.get(word, 0) + 1

    async def one(name: int) -> None:
        count = 0
        while time.monotonic() < until:
            count += 1
            kind = chance.choice(["order", "order", "cancel", "account", "open", "bars", "bars", "query"])
            client_id = f"w{seed}-{name}-{count}"
            try:
                if kind == "order":
                    order = PlaceOrder(
                        client_id=client_id,
                        intent_id="i",
                        instrument=btc,
                        side=Side.BUY,
                        quantity=Decimal("0.001"),
                        price=Decimal("30000.00") if venue == "binance" else Decimal(50_000_000),
                        post_only=True,
                    )
                    await gateway.place(order)
                elif kind == "cancel":
                    await gateway.cancel(CancelOrder(client_id=client_id, instrument=btc))
                elif kind == "account":
                    await gateway.account()
                elif kind == "open":
                    await gateway.open_orders()
                elif kind == "bars":
                    async with asyncio.timeout(until - time.monotonic()):
                        await gateway.history(btc, 1_767_225_600_000, 10)
                else:
                    await gateway.query(client_id, btc)
                note(kind)
            except TimeoutError:
                note("given up")  # the line is left, and nothing may remain of it
            except BotError as error:
                word = str(error)
                note("kept back" if "not sent" in word else "429" if "429" in word else f"{kind}: {word[:90]}")
                await asyncio.sleep(0.05)

    await asyncio.gather(*(one(i) for i in range(3)))
    said["refusals"] = gate.look(lambda line, now: line.refusals)
    await gateway.close()
    return said


def start(told: Path, *words: object) -> multiprocessing.process.BaseProcess:
    """``call`` in a fork of a process that has imported the clients and has no threads; what it says goes into
    ``told``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    child = context.Process(target=_main, args=(told, *words))
    child.start()
    return child


def _main(told: Path, *words: object) -> None:
    told.write_text(json.dumps(asyncio.run(call(*words))))
