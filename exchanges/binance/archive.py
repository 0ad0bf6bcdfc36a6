"""Binance's public archive of one-minute bars: whole months and days as zipped CSV, each with its checksum.

``<base>/data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip`` and ``….zip.CHECKSUM`` (SHA-256, name), see
github.com/binance/binance-public-data. Times of files of 2025 on are microseconds, which the importer of the lake
knows. What is not a file of the archive (a page of a proxy, a cut download) is told by its checksum.
"""

import hashlib
import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from core.errors import BotError, ConfigError, ExchangeUnavailable
from core.units import Instrument
from exchanges.binance.names import venue_symbol

ARCHIVE_URL = "https://data.binance.vision"
MOST_BYTES = 64 * 1024 * 1024
"""Of a file, zipped or not: a month of one-minute bars is 2 MB zipped, 6 MB not."""
TIMEOUT_S = 120.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CHECKSUM = re.compile(r"\s*([0-9a-fA-F]{64})\s+\*?(\S+)\s*")


class ArchiveFault(BotError):
    """The archive has not got this file, or what it gave is not what its checksum says."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file that is whole."""

    name: str
    csv: bytes
    checksum: str


def file_path(instrument: Instrument, period: str) -> str:
    """Path below the base; ``period`` is ``2024-01`` or ``2024-01-31``."""
    symbol = venue_symbol(instrument)
    every = "monthly" if len(period) == 7 else "daily"
    return f"data/spot/{every}/klines/{symbol}/1m/{symbol}-1m-{period}.zip"


def checked(name: str, packed: bytes, checksum_file: bytes) -> ArchiveFile:
    """The CSV of a zipped file whose SHA-256 is the stated one; ArchiveFault says what is wrong."""
    stated = _CHECKSUM.fullmatch(checksum_file[:300].decode("utf-8", "replace"))
    if stated is None:
        raise ArchiveFault(f"{name}: its CHECKSUM file is no checksum (a page of a proxy?)")
    if stated[2].rpartition("/")[2] != name:
        raise ArchiveFault(f"{name}: its CHECKSUM file is about {stated[2][:80]}")
    found = hashlib.sha256(packed).hexdigest()
    if found != stated[1].lower():
        raise ArchiveFault(f"{name}: wrong checksum (cut off or changed on the way); {len(packed):,} bytes came")
    try:
        with zipfile.ZipFile(io.BytesIO(packed)) as folder:
            (member,) = folder.infolist()
            if member.file_size > MOST_BYTES:
                raise ArchiveFault(f"{name}: unpacks to {member.file_size:,} bytes, more than any month of bars")
            return ArchiveFile(name, folder.read(member), found)
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError, OSError, zlib.error) as error:
        raise ArchiveFault(f"{name}: is no zip file with one table ({type(error).__name__})") from None


class Archive:
    """Fetches files of the archive. ``base``: another address, https unless it is on this machine."""

    def __init__(self, base: str = ARCHIVE_URL) -> None:
        parts = urlsplit(base)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ConfigError(f"--archive-url {base}: must begin with https:// (http only for this machine)")
        self._base = base.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, instrument: Instrument, period: str) -> ArchiveFile:
        """Raises ArchiveFault (absent or damaged), ExchangeUnavailable (the network; try again)."""
        path = file_path(instrument, period)
        name = path.rpartition("/")[2]
        return checked(name, await self._get(path, name), await self._get(f"{path}.CHECKSUM", f"{name}.CHECKSUM"))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _get(self, path: str, name: str) -> bytes:
        if self._session is None:
            trust = urlsplit(self._base).hostname not in LOOPBACK
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=trust)
        try:
            async with self._session.get(f"{self._base}/{path}", allow_redirects=False) as answer:
                if answer.status in (403, 404):
                    raise ArchiveFault(f"{name}: the archive has not got it (HTTP {answer.status})")
                if answer.status != 200:
                    raise ExchangeUnavailable(f"{name}: the archive answered HTTP {answer.status}")
                body = await answer.content.read(MOST_BYTES + 1)
                while len(body) <= MOST_BYTES and (more := await answer.content.read(MOST_BYTES)):
                    body += more
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ExchangeUnavailable(f"{name}: the archive can not be reached ({type(error).__name__})") from None
        if len(body) > MOST_BYTES:
            raise ArchiveFault(f"{name}: is larger than any month of bars")
        return body
