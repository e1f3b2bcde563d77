"""The event codes of each provider: what they mean, how to find them.

One code is one line of `<provider>.jsonl` beside this file. The catalogue helps people and rule
files; it never decides what an event may be: vendors add codes without notice.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

import msgspec

from tocsin.catalog.provider import PROVIDERS

NEAR_ENOUGH = 0.6  # difflib's own default: a typo, not another word


class Ecs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a code is in the Elastic Common Schema. `outcome` only where it is another than the code's own."""

    action: str
    category: tuple[str, ...]
    type: tuple[str, ...]
    outcome: str = ""


class Code(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One event code.

    `outcome` is success, failure, warning or notification. `categories` are the vendor's headings;
    `stream_filter` the log-stream filter that lets the code through (empty: none named).
    `prioritized`: a prioritised stream carries it. `security_center`: the vendor's own attack
    metric that counts it. `variants`: one code, several meanings (`action text: meaning`).
    `ecs` is what it is to rules of any provider.
    """

    provider: str = ""
    code: str
    name: str
    description: str
    outcome: str
    ecs: Ecs
    categories: tuple[str, ...] = ()
    stream_filter: str = ""
    severity: str = ""
    security_center: str = ""
    prioritized: bool = False
    legacy: bool = False
    actions: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    notes: str = ""

    @property
    def category(self) -> str:
        """The first heading; empty for a code of no category."""
        return self.categories[0] if self.categories else ""


@lru_cache(maxsize=8)
def codes(provider: str) -> Mapping[str, Code]:
    """The provider's codes by code, in catalogue order; empty for a provider without a catalogue."""
    if provider not in _catalogued():
        return MappingProxyType({})
    data = files(__package__).joinpath(f"{provider}.jsonl").read_bytes()
    lines = msgspec.json.Decoder(Code).decode_lines(data)
    named = (msgspec.structs.replace(line, provider=provider) for line in lines)
    return MappingProxyType({code.code: code for code in named})


def code_of_action(provider: str, action: str) -> str | None:
    """The code whose events a vendor calls so, in words; None where none is, or several are."""
    return _by_action(provider).get(action.strip().casefold())


@lru_cache(maxsize=8)
def _by_action(provider: str) -> Mapping[str, str]:
    called: dict[str, list[str]] = {}
    for code in codes(provider).values():
        for action in code.actions:
            called.setdefault(action.casefold(), []).append(code.code)
    return MappingProxyType({action: some[0] for action, some in called.items() if len(some) == 1})


@lru_cache(maxsize=8)
def categories(provider: str) -> Mapping[str, frozenset[str]]:
    """Category, and log-stream filter, as the vendor writes it -> its codes."""
    found: dict[str, set[str]] = {}
    for code in codes(provider).values():
        for heading in (*code.categories, code.stream_filter):
            if heading:
                found.setdefault(heading, set()).add(code.code)
    return MappingProxyType({heading: frozenset(members) for heading, members in found.items()})


def expand_category(provider: str, category: str) -> frozenset[str]:
    """The codes of a category (`Login - Failure`) or log-stream filter (`auth.login.fail`).

    Upper and lower case, and the blanks around the dash, do not matter.

    Raises:
        KeyError: there is none of that name; its one argument is a message with the nearest name.
    """
    known = {_folded(heading): heading for heading in categories(provider)}
    heading = known.get(_folded(category))
    if heading is not None:
        return categories(provider)[heading]
    if not known:
        raise KeyError(f"there is no event catalogue for {provider!r}; categories exist for {_providers()}")
    near = difflib.get_close_matches(_folded(category), known, n=1, cutoff=NEAR_ENOUGH)
    hint = f"did you mean {known[near[0]]!r}?" if near else f"known are {', '.join(sorted(known.values()))}"
    raise KeyError(f"unknown {provider} event category {category!r}; {hint}")


def nearest_code(provider: str, code: str) -> str | None:
    """The known code most like this one (itself, if known); None where nothing is near."""
    known = {name.casefold(): name for name in codes(provider)}
    near = difflib.get_close_matches(code.casefold(), known, n=1, cutoff=NEAR_ENOUGH)
    return known[near[0]] if near else None


def search(word: str) -> list[Code]:
    """The codes of all providers that have `word` in their code, name, description, category or action."""
    wanted = word.casefold()
    return [code for code in everything() if wanted in _text(code)]


def everything() -> list[Code]:
    """Every code of every provider, in catalogue order."""
    return [code for provider in PROVIDERS for code in codes(provider).values()]


def _text(code: Code) -> str:
    return "\n".join(
        (
            code.code,
            code.name,
            code.description,
            code.stream_filter,
            code.ecs.action,
            *code.categories,
            *code.actions,
        )
    ).casefold()


def _folded(heading: str) -> str:
    return "".join(heading.casefold().split())


def _catalogued() -> list[str]:
    """The providers that have codes."""
    return [provider.name for provider in PROVIDERS.values() if provider.code_field]


def _providers() -> str:
    return ", ".join(_catalogued())
