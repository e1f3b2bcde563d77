"""What a reload changed, or why it was refused: values, for logs, for HTTP and for people."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tocsin.errors import RuleError
from tocsin.model.compiled import CompiledRule
from tocsin.rules.detection.tree import text_of
from tocsin.rules.load import Loaded

# Where something is written, and where it lies in memory: no part of what a rule says.
_PLACE = re.compile(r"Mark\([^()]*\)| at 0x[0-9a-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Names of rules. `warming`: those whose state begins now, in the middle of the events."""

    rules: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    warming: tuple[str, ...] = ()
    not_running: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[RuleError, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """As `POST /-/reload` answers."""
        return {
            "status": "reloaded",
            "rules": self.rules,
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "warming": self.warming,
            "not_running": self.not_running,
            "warnings": [_record(warning) for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class Refused:
    """The rules that were read are wrong; those before are still at work. In file order."""

    errors: tuple[RuleError, ...]

    def as_record(self) -> dict[str, Any]:
        """As `POST /-/reload` answers."""
        return {"status": "refused", "errors": [_record(error) for error in self.errors]}


class Described(NamedTuple):
    """One rule, to compare: what it is called, its state's name (empty: it keeps none), what it says."""

    name: str
    state: str
    content: str


def described(loaded: Loaded) -> dict[str, Described]:
    """Every rule that runs, by its id."""
    found: dict[str, Described] = {}
    for made in loaded.made:
        if not made.not_running:
            rule, state = made.compiled.rule, _state(made.compiled)
            selections = [(base.doc.product, text_of(base.tree)) for base in made.bases]
            said = repr((replace(rule, file="", line=1), selections, made.spec))
            found[rule.id or rule.name] = Described(rule.name, state, _digest(_PLACE.sub("", said)))
    return found


def compared(before: Mapping[str, Described], now: Mapping[str, Described]) -> tuple[tuple[str, ...], ...]:
    """The names of the rules that were added, removed and changed, each in order."""
    added = sorted(now[key].name for key in now.keys() - before.keys())
    removed = sorted(before[key].name for key in before.keys() - now.keys())
    changed = sorted(now[key].name for key in now.keys() & before.keys() if now[key] != before[key])
    return tuple(added), tuple(removed), tuple(changed)


def _state(rule: CompiledRule) -> str:
    return "" if rule.correlation is None else rule.correlation.spec.state


def _digest(said: str) -> str:
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _record(error: RuleError) -> dict[str, Any]:
    return {"file": error.file, "line": error.line, "column": error.column, "message": error.message}
