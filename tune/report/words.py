"""What a run assumed, in words: the costs it was charged, from the settings it ran under."""

from typing import Any

from tune.result import Result


def costs_in_words(result: Result) -> list[str]:
    """One line an assumption; from the ``costs`` of the trading rules kept with the result."""
    rules = result.settings.get("rules", result.settings)
    costs = rules.get("costs") if isinstance(rules, dict) else None
    if not isinstance(costs, dict):
        return ["The settings kept with this run do not say which costs it assumed."]
    return [f"{key.replace('_', ' ')}: {_plain(value)}" for key, value in sorted(costs.items())]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    return str(value)
