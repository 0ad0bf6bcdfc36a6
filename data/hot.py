"""Hot state in Redis: the latest records, equity, health, state and commands of one run, pushed as they change.

Every change is one atomic script: it takes the next sequence number, stores, and publishes the same line
``{"seq", "at_ms", "kind", "body"}`` on the run's channel. A reader that subscribes first, takes a snapshot second
and drops lines up to the snapshot's number sees everything once; a hole in the numbers tells it to start again.
Keys are ``mh:<run>:…``, bounded in length and with a time to live, so a forgotten run leaves nothing behind.
``at_ms`` is Redis' own wall clock, beside the market's clock in the bodies.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.errors import BotError, ConfigError, DataError
from core.messages import MinuteRecord
from data import plain

KEEP_RECORDS = 240
KEEP_EQUITY = 2_880
"""Two days of minutes."""
KEEP_COMMANDS = 100
TTL_S = 2 * 86_400
RUNS = "mh:runs"
TIMEOUT_S = 1.0
"""A Redis that hangs may cost a minute this much, not more."""

_PUBLISH = """
local seq = redis.call('INCR', KEYS[1])
local now = redis.call('TIME')
local at = string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))
local line = '{"seq":' .. seq .. ',"at_ms":' .. at .. ',"kind":"' .. ARGV[1] .. '","body":' .. ARGV[2] .. '}'
if ARGV[1] == 'record' then
  redis.call('LPUSH', KEYS[3], line)
  redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[4]) - 1)
  if ARGV[5] ~= '' then
    redis.call('RPUSH', KEYS[4], ARGV[5])
    redis.call('LTRIM', KEYS[4], -tonumber(ARGV[6]), -1)
    redis.call('EXPIRE', KEYS[4], ARGV[3])
  end
elseif ARGV[1] == 'health' then
  redis.call('HSET', KEYS[3], ARGV[4], line)
else
  for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
redis.call('EXPIRE', KEYS[3], ARGV[3])
redis.call('PUBLISH', KEYS[2], line)
return seq
"""


class HotUnavailable(BotError):
    """Redis did not serve us. What was to be shown is not lost: records are in their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotSnapshot:
    """All that is hot about a run at sequence number ``seq``."""

    run_id: str
    seq: int
    at_ms: int
    """Redis' wall clock when the snapshot was taken."""
    records: tuple[dict, ...]
    """Plain MinuteRecords (``data.plain``), oldest first, at most ``KEEP_RECORDS``."""
    equity: tuple[tuple[int, float], ...]
    """(minute, equity), oldest first, at most ``KEEP_EQUITY``."""
    health: dict[str, dict]
    """By actor: what it published, with ``at_ms``."""
    state: dict[str, Any]


class _Keys:
    """Names of one run's keys, and the arguments of the script that changes them."""

    def __init__(self, run_id: str, keep: int, ttl_s: int) -> None:
        self.run_id = run_id
        self._keep = keep
        self._ttl = ttl_s
        self.seq, self.channel, self.records, self.equity, self.health, self.state, self.commands = (
            f"mh:{run_id}:{part}" for part in ("seq", "news", "records", "equity", "health", "state", "commands")
        )

    def record(self, record: MinuteRecord) -> tuple[list[str], list[Any]]:
        point = json.dumps([record.minute, record.equity]) if record.status == "done" else ""
        body = plain.dumps(record)
        return (
            [self.seq, self.channel, self.records, self.equity],
            ["record", body, self._ttl, self._keep, point, KEEP_EQUITY],
        )

    def note_health(self, actor: str, health: dict) -> tuple[list[str], list[Any]]:
        body = _json({**health, "actor": actor})
        return [self.seq, self.channel, self.health], ["health", body, self._ttl, actor]

    def note_state(self, state: dict) -> tuple[list[str], list[Any]]:
        pairs = [text for key, value in state.items() for text in (key, _json(value))]
        return [self.seq, self.channel, self.state], ["state", _json(state), self._ttl, *pairs]

    def read(self, pipe: Any) -> None:
        """Queue the reads of a snapshot on a transaction."""
        pipe.get(self.seq).lrange(self.records, 0, -1).lrange(self.equity, 0, -1)
        pipe.hgetall(self.health).hgetall(self.state).time()

    def snapshot(self, answers: list[Any]) -> HotSnapshot:
        seq, records, equity, health, state, now = answers
        return HotSnapshot(
            run_id=self.run_id,
            seq=int(seq or 0),
            at_ms=now[0] * 1000 + now[1] // 1000,
            records=tuple(json.loads(line)["body"] for line in reversed(records)),
            equity=tuple((int(minute), float(value)) for minute, value in map(json.loads, equity)),
            health={actor.decode(): health_body(json.loads(line)) for actor, line in sorted(health.items())},
            state={key.decode(): json.loads(value) for key, value in sorted(state.items())},
        )


class Hot:
    """One run's hot state, for actors and commands. Every call may raise HotUnavailable within about a second."""

    def __init__(self, url: str, run_id: str, keep: int = KEEP_RECORDS, ttl_s: int = TTL_S) -> None:
        self._keys = _Keys(run_id, keep, ttl_s)
        self._redis = _client(redis.Redis, url, Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)))
        self._publish = self._redis.register_script(_PUBLISH)

    def ping(self) -> None:
        with _translated():
            self._redis.ping()

    def publish_record(self, record: MinuteRecord) -> int:
        """Show one minute; gives its sequence number (which starts again at 1 when Redis lost its memory)."""
        with _translated():
            return int(self._publish(*self._keys.record(record)))

    def publish_health(self, actor: str, health: dict) -> int:
        """Show what ``actor`` says of itself: JSON-able values."""
        with _translated():
            return int(self._publish(*self._keys.note_health(actor, health)))

    def publish_state(self, state: dict) -> int:
        """Merge ``state`` (mode, clock, progress …) into the run's state and push it."""
        if not state:
            raise ValueError("publish_state needs at least one field")
        with _translated():
            self._redis.sadd(RUNS, self._keys.run_id)
            self._redis.expire(RUNS, TTL_S)
            return int(self._publish(*self._keys.note_state(state)))

    def records(self) -> list[MinuteRecord]:
        """The latest records, oldest first. Raises DataError when they are of a newer version."""
        with _translated():
            lines = self._redis.lrange(self._keys.records, 0, -1)
        return [plain.decode(MinuteRecord, json.loads(line)["body"]) for line in reversed(lines)]

    def state(self) -> dict[str, Any]:
        with _translated():
            pairs = self._redis.hgetall(self._keys.state)
        return {key.decode(): json.loads(value) for key, value in pairs.items()}

    def health(self) -> dict[str, dict]:
        with _translated():
            pairs = self._redis.hgetall(self._keys.health)
        return {actor.decode(): health_body(json.loads(line)) for actor, line in pairs.items()}

    def snapshot(self) -> HotSnapshot:
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            self._keys.read(pipe)
            return self._keys.snapshot(pipe.execute())

    def send_command(self, name: str, **values: Any) -> None:
        """Ask the run to do something (``stop`` …); the newest ``KEEP_COMMANDS`` wait for it."""
        with _translated(), self._redis.pipeline(transaction=True) as pipe:
            pipe.rpush(self._keys.commands, _json({"command": name, **values}))
            pipe.ltrim(self._keys.commands, -KEEP_COMMANDS, -1).expire(self._keys.commands, TTL_S).execute()

    def take_commands(self) -> list[dict]:
        """Commands not yet taken, oldest first; each is given once."""
        with _translated():
            return [json.loads(line) for line in self._redis.lpop(self._keys.commands, KEEP_COMMANDS) or ()]

    def close(self) -> None:
        self._redis.close()


class AsyncHot:
    """The same state for coroutines: the dashboard and whoever waits for commands."""

    def __init__(self, url: str, run_id: str) -> None:
        self._keys = _Keys(run_id, KEEP_RECORDS, TTL_S)
        self._redis = _client(
            redis.asyncio.Redis, url, AsyncRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        )

    async def snapshot(self) -> HotSnapshot:
        with _translated():
            async with self._redis.pipeline(transaction=True) as pipe:
                self._keys.read(pipe)
                return self._keys.snapshot(await pipe.execute())

    async def news(self, poll_s: float = 1.0) -> AsyncIterator[dict | None]:
        """Lines as they are published; None first, when the subscription stands, and whenever ``poll_s`` passed.

        Raises HotUnavailable when Redis goes away: subscribe again and take a new snapshot.
        """
        with _translated():
            async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(self._keys.channel)
                await channel.get_message(ignore_subscribe_messages=True, timeout=TIMEOUT_S)
                yield None
                while True:
                    message = await channel.get_message(timeout=poll_s)
                    if message is None:
                        await self._redis.ping()
                        yield None
                    elif message["type"] == "message":
                        yield json.loads(message["data"])

    async def take_commands(self) -> list[dict]:
        """Commands not yet taken, oldest first; each is given once."""
        with _translated():
            return [json.loads(line) for line in await self._redis.lpop(self._keys.commands, KEEP_COMMANDS) or ()]

    async def close(self) -> None:
        await self._redis.aclose()


def runs(url: str) -> list[str]:
    """Ids of the runs this Redis still shows. Raises HotUnavailable."""
    client = _client(redis.Redis, url, Retry(NoBackoff(), 0))
    try:
        with _translated():
            names = sorted(name.decode() for name in client.smembers(RUNS))
            return [name for name in names if client.exists(f"mh:{name}:state")]
    finally:
        client.close()


def health_body(line: dict) -> dict:
    """An actor's health as readers see it: what it said, and when (Redis' clock)."""
    return {**line["body"], "at_ms": line["at_ms"]}


def _client(kind: Any, url: str, retry: Any) -> Any:
    try:
        return kind.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=retry)
    except ValueError as error:
        # The URL may carry a password: it is not shown.
        raise ConfigError(f"config.json: redis_url is not an address Redis can be reached at ({error})") from error


def _json(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise DataError(f"hot state takes finite numbers only: {value!r}") from error


@contextmanager
def _translated() -> Iterator[None]:
    """Redis' errors as ours."""
    try:
        yield
    except redis.RedisError as error:
        raise HotUnavailable(f"Redis did not serve us: {type(error).__name__}: {error}") from error
    except OSError as error:
        raise HotUnavailable(f"Redis cannot be reached: {error}") from error
