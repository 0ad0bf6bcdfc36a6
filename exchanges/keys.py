"""A key pair as every venue has one: shown by nobody, sent nowhere. Each venue adds how it signs."""

from typing import Any, NoReturn, Self


def reveal(value: Any) -> str:
    """The text of a secret: of an object with ``reveal()``, of a plain str, or of nothing."""
    if value is None:
        return ""
    text = value.reveal() if hasattr(value, "reveal") else value
    return str(text).strip().replace("\r\n", "\n")


class KeyPair:
    """API key and secret. Shows neither."""

    __slots__ = ("_key", "_secret")

    def __init__(self, api_key: Any = None, secret: Any = None) -> None:
        self._key = api_key
        self._secret = secret

    @classmethod
    def of(cls, keys: Any) -> Self:
        """From None (public data only), a KeyPair, a (key, secret) pair, or ``config.secrets.ApiKeys``."""
        if isinstance(keys, cls):
            return keys
        if keys is None:
            return cls()
        if isinstance(keys, tuple | list):
            return cls(*keys)
        return cls(keys.api_key, keys.api_secret)

    def __repr__(self) -> str:
        return f"KeyPair({'set' if self.present else 'empty'})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a KeyPair is not sent or stored: load the keys in the process that uses them")

    @property
    def present(self) -> bool:
        return bool(reveal(self._key)) and bool(reveal(self._secret))

    @property
    def api_key(self) -> str:
        return reveal(self._key)

    @property
    def secret(self) -> str:
        return reveal(self._secret)
