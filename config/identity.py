"""What the settings are worth comparing by: one hash of everything that decides about money."""

import hashlib
import json

from config.settings import Settings


def rules_hash(settings: Settings) -> str:
    """What decides about money, in 16 digits: instruments, shares, models, limits, execution. Equal settings, equal hash.

    Addresses, ports, resources and logs are left out: they change nothing that is traded.
    """
    decides = {"trade": settings.config.trade.model_dump(mode="json"), "rules": settings.rules.model_dump(mode="json")}
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
