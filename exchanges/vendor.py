"""The one exchange of ccxt that we use, without the hundred others.

``import ccxt`` runs through the modules of all its exchanges: 4.4 s of a processor in each process that talks to
Binance, and 1.4 s so (measured with the gateway). Here its two packages are stood in for while the one module
is imported, and taken away again: whoever imports ccxt afterwards gets all of it, with these very classes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

PACKAGES = ("ccxt", "ccxt.async_support")


@contextmanager
def _bare_packages() -> Iterator[ModuleType]:
    """``ccxt`` and ``ccxt.async_support`` as empty packages, where they have not been imported in full before."""
    spec = find_spec(PACKAGES[0])
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("ccxt is not installed; run: python3 run.py")
    root = spec.submodule_search_locations[0]
    whole = sys.modules.get(PACKAGES[0])
    if whole is not None:
        yield whole
        return
    for name in PACKAGES:
        package = ModuleType(name)
        package.__path__ = ["/".join((root, *name.split(".")[1:]))]
        sys.modules[name] = package
    try:
        yield sys.modules[PACKAGES[0]]
    finally:
        for name in PACKAGES:
            del sys.modules[name]


with _bare_packages() as _package:
    errors: Any = import_module("ccxt.base.errors")
    # Its modules take these from the package.
    for _name, _value in vars(errors).items():
        if isinstance(_value, type):
            _package.__dict__.setdefault(_name, _value)
    _package.__dict__.setdefault("Exchange", import_module("ccxt.base.exchange").Exchange)
    binance: Any = import_module("ccxt.async_support.binance").binance
