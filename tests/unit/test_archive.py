"""Files of Binance's archive: named as it names them, believed only with their checksum."""

import hashlib
import io
import zipfile

import pytest

from core.errors import ConfigError
from core.units import Instrument
from exchanges.binance.archive import Archive, ArchiveFault, checked, file_path

BTC = Instrument("binance", "BTC/USDT")
NAME = "BTCUSDT-1m-2024-01.zip"
CSV = b"1704067200000,42283.58,42298.62,42261.02,42298.61,35.92724000,1704067259999,0,0,0,0,0\n"


def packed(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as folder:
        for name, body in members or (("BTCUSDT-1m-2024-01.csv", CSV),):
            folder.writestr(name, body)
    return out.getvalue()


def stated(body: bytes, name: str = NAME) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()}  {name}\n".encode()


def test_paths_are_the_archives():
    assert file_path(BTC, "2024-01") == "data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip"
    assert file_path(BTC, "2024-01-31") == "data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01-31.zip"


def test_a_whole_file_is_unpacked():
    body = packed()
    file = checked(NAME, body, stated(body))
    assert (file.csv, file.checksum) == (CSV, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    ("body", "checksum", "said"),
    [
        (packed(), stated(b"another"), "wrong checksum"),
        (packed()[:-30], stated(packed()), "wrong checksum"),
        (packed()[:-30], stated(packed()[:-30]), "is no zip file"),
        (packed(), b"<html>Sign in to the network</html>", "is no checksum"),
        (packed(), b"", "is no checksum"),
        (packed(), b"\xff\xfe", "is no checksum"),
        (packed(), stated(packed(), "ETHUSDT-1m-2024-01.zip"), "is about ETHUSDT"),
        (b"<html></html>", stated(b"<html></html>"), "is no zip file"),
        (packed(("a.csv", CSV), ("b.csv", CSV)), None, "is no zip file with one table"),
        (packed(("a.csv", bytes(65 * 1024 * 1024))), None, "unpacks to 68,157,440 bytes"),
    ],
)
def test_what_is_not_whole_is_told(body, checksum, said):
    with pytest.raises(ArchiveFault, match=said):
        checked(NAME, body, stated(body) if checksum is None else checksum)


@pytest.mark.parametrize("url", ["http://data.binance.vision", "ftp://x", "data.binance.vision", ""])
def test_another_address_is_https_or_this_machine(url):
    with pytest.raises(ConfigError, match="https"):
        Archive(url)
    Archive("http://127.0.0.1:8000")
    Archive("https://mirror.example")
