"""Keys, tokens and notification addresses: read from a private file or the environment, and never shown.

A ``Secret`` prints as ``<secret>`` everywhere and cannot be pickled: what Ray carries or stores may reach disk and
logs, so a process that needs a key reads it here itself and hands ``reveal()`` to the one library that signs with it.
"""

import os
import stat
import unicodedata
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from config import faults
from config.files import read_json, shown
from config.load import ROOT
from core.errors import ConfigError

API_KEYS_PATH = ROOT / "config" / "api_keys.json"
EXAMPLE = "config/api_keys.example.json"
VENUES = ("binance", "upbit")
PLACEHOLDER = "paste-"
"""How the example's values begin; they are refused as keys."""
HIDDEN = "<secret>"

_alive: "weakref.WeakSet[Secret]" = weakref.WeakSet()


class Secret:
    """A text that is never printed. Only ``reveal()`` gives it out."""

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        _alive.add(self)

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not sent or stored: load it with config.secrets in the process that uses it")


def mask(text: str) -> str:
    """The text with every living secret in it replaced; for words of foreign libraries that go to a log."""
    for secret in list(_alive):
        if len(secret.reveal()) >= 6:
            text = text.replace(secret.reveal(), HIDDEN)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeys:
    """One venue's key pair."""

    api_key: Secret
    api_secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """Everything private this bot may use."""

    venues: dict[str, ApiKeys] = field(default_factory=dict)
    notification_urls: tuple[Secret, ...] = ()
    """Apprise addresses, e.g. ``tgram://token/chat``."""
    grafana_token: Secret | None = None


def load_secrets(path: Path | str | None = None, environ: Mapping[str, str] | None = None) -> Secrets:
    """Read the private file (a missing one is empty), then the environment, which wins.

    Variables: ``MINUTEHAND_BINANCE_API_KEY`` and ``…_API_SECRET``, ``MINUTEHAND_NOTIFICATION_URLS`` (separated by
    blanks), ``MINUTEHAND_GRAFANA_TOKEN``. Raises ConfigError for a file that others may read, unknown keys, half a
    key pair, and the example's own texts; the values never stand in the message.
    """
    environ = os.environ if environ is None else environ
    file = Path(path) if path is not None else API_KEYS_PATH
    name = shown(file.absolute(), ROOT)
    tree: dict[str, Any] = {}
    if file.exists():
        _refuse_open_file(file, name)
        tree = read_json(file, name, "", private=True)
        tree.pop("$schema", None)
    for key in tree:
        if key not in (known := (*VENUES, "notification_urls", "grafana_token", "source_keys")):
            close = faults.near(key, known)
            hint = f"did you mean {close!r}?" if close else f"known: {', '.join(known)}"
            raise ConfigError(f"{name}: unknown key {key!r}; {hint}")
    venues = {venue: pair for venue in VENUES if (pair := _pair(venue, tree.get(venue), name, environ)) is not None}
    return Secrets(
        venues=venues, notification_urls=_urls(tree, name, environ), grafana_token=_token(tree, name, environ)
    )


def load_api_keys(path: Path | str | None = None, environ: Mapping[str, str] | None = None) -> dict[str, ApiKeys]:
    """The key pairs of all venues that have one; see ``load_secrets``."""
    return load_secrets(path, environ).venues


def load_source_keys(path: Path | str | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Secret]:
    """The keys of news sources by name, and nothing else of the private file: who asks sources holds no exchange's key.

    Also ``MINUTEHAND_SOURCE_KEY_<NAME>``. Raises ConfigError as ``load_secrets`` does.
    """
    environ = os.environ if environ is None else environ
    file = Path(path) if path is not None else API_KEYS_PATH
    name = shown(file.absolute(), ROOT)
    told: Any = {}
    if file.exists():
        _refuse_open_file(file, name)
        told = read_json(file, name, "", private=True).get("source_keys", {})
    if not isinstance(told, dict):
        raise ConfigError(f"{name}: source_keys must be an object of names and keys")
    found = {str(k): Secret(_text(told, k, f"{name}: source_keys.{k}")) for k in told}
    prefix = "MINUTEHAND_SOURCE_KEY_"
    found |= {k.removeprefix(prefix).lower(): Secret(v) for k, v in environ.items() if k.startswith(prefix) and v}
    return found


def require_keys(secrets: Secrets, venue: str, file: Path | None = None) -> ApiKeys:
    """The venue's key pair; ConfigError saying how to give one when there is none. ``file``: where it was looked for."""
    if venue not in secrets.venues:
        name = shown(file.absolute(), ROOT) if file is not None else "config/api_keys.json"
        gone = "there is no such file, so " if file is not None and not file.exists() else ""
        raise ConfigError(
            f"{name}: {gone}no keys for {venue}; copy {EXAMPLE} to {name}, fill it in and run "
            f"'chmod 600 {name}'; or set MINUTEHAND_{venue.upper()}_API_KEY and _API_SECRET"
        )
    return secrets.venues[venue]


def open_to_others(path: Path) -> bool:
    """True when somebody else on this machine may read the file. Windows keeps its own lists and is not judged."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _refuse_open_file(path: Path, name: str) -> None:
    if path.is_file() and open_to_others(path):
        mode = stat.S_IMODE(path.stat().st_mode)
        raise ConfigError(f"{name}: others on this machine may read it (mode {mode:04o}); run: chmod 600 {name}")


def _pair(venue: str, entry: Any, name: str, environ: Mapping[str, str]) -> ApiKeys | None:
    if entry is not None and not isinstance(entry, dict):
        raise ConfigError(f"{name}: {venue} must be an object with the keys api_key and api_secret")
    found: dict[str, Secret] = {}
    for part in ("api_key", "api_secret"):
        text = environ.get(f"MINUTEHAND_{venue.upper()}_{part.upper()}") or _text(
            entry or {}, part, f"{name}: {venue}.{part}"
        )
        if text:
            _refuse_odd_characters(text, part, f"{name}: {venue}.{part}")
            found[part] = Secret(text)
    for part in entry or {}:
        if part not in ("api_key", "api_secret"):
            raise ConfigError(f"{name}: unknown key '{venue}.{part}'; known: api_key, api_secret")
    if len(found) == 1:
        missing = "api_secret" if "api_key" in found else "api_key"
        raise ConfigError(f"{name}: {venue}.{missing} is missing; give both api_key and api_secret, or neither")
    return ApiKeys(**found) if found else None


def _refuse_odd_characters(text: str, part: str, where: str) -> None:
    """A key is of visible ASCII; a private key in PEM has lines and blanks besides. Else it was pasted with more than it."""
    allowed = "\n\r " if part == "api_secret" else ""
    odd = next((c for c in text if not "!" <= c <= "~" and c not in allowed), None)
    if odd is not None:
        raise ConfigError(
            f"{where} holds the character U+{ord(odd):04X} ({unicodedata.name(odd, 'a control character').lower()}), "
            "which no key has; paste it again"
        )


def _urls(tree: Mapping[str, Any], name: str, environ: Mapping[str, str]) -> tuple[Secret, ...]:
    if environ.get("MINUTEHAND_NOTIFICATION_URLS"):
        return tuple(Secret(url) for url in environ["MINUTEHAND_NOTIFICATION_URLS"].split())
    listed = tree.get("notification_urls", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{name}: notification_urls must be a list [ ] of addresses in double quotes")
    texts = [_text({"url": url}, "url", f"{name}: notification_urls[{i}]") for i, url in enumerate(listed)]
    for i, text in enumerate(texts):
        if "://" not in text:
            raise ConfigError(f"{name}: notification_urls[{i}] is no address such as tgram://TOKEN/CHAT")
    return tuple(Secret(text) for text in texts)


def _token(tree: Mapping[str, Any], name: str, environ: Mapping[str, str]) -> Secret | None:
    text = environ.get("MINUTEHAND_GRAFANA_TOKEN") or _text(tree, "grafana_token", f"{name}: grafana_token")
    return Secret(text) if text else None


def _text(entry: Mapping[str, Any], part: str, where: str) -> str:
    value = entry.get(part, "")
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be text in double quotes")
    if value.strip().lower().startswith(PLACEHOLDER):
        raise ConfigError(f"{where} still holds the example's text; put your own there, or remove the entry")
    return value.strip()
