"""Whether anybody reads the events of a provider: else a source is silent, and nobody knows."""

from __future__ import annotations

from tocsin.catalog.provider import ECS
from tocsin.model.compiled import RuleSet


def reads(ruleset: RuleSet, provider: str) -> bool:
    """Whether some rule at work reads the events of the provider."""
    return any(
        matcher.product in ("", provider) and not matcher.of
        for rule in ruleset.rules
        for matcher in rule.matchers
    )


def unread_told(ruleset: RuleSet, provider: str, whose: str) -> str:
    """What to say, and the way out, where no rule reads the events of `whose`; else empty."""
    if reads(ruleset, provider):
        return ""
    shipped = "[shipped, shipped/ecs]" if provider == ECS else "[shipped]"
    way_out = f"write rules: {shipped} in the settings, or a rule of your own"
    return f"no rule reads the events of {whose} (they are {provider}'s); {way_out}"
