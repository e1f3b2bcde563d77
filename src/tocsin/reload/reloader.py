"""Reads the rules anew, and puts them to work if all of them are sound.

What is durable is written before anything changes: which state each rule has, and since when. So a
kill at any moment leaves the old rules or the new ones, and in both cases what is warming is known.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import structlog

from tocsin import telemetry
from tocsin.engine import Engine
from tocsin.enrichment import open_databases
from tocsin.errors import RuleErrors
from tocsin.model.alert import NEVER_MS
from tocsin.model.compiled import RuleSet
from tocsin.model.rule_state import RuleState, carried_on
from tocsin.model.watermark import Watermarks
from tocsin.protocols import Clock
from tocsin.reload.changes import Changes, Described, Refused, compared, described
from tocsin.reload.live import AtWork, LiveRules
from tocsin.reload.reading import read_anew
from tocsin.reload.watch import Signature, signature_of
from tocsin.rules.load import Loaded, load
from tocsin.settings import Settings

log = structlog.get_logger()


class RuleStates(Protocol):
    """Which state each rule has, by rule id, and since when; for all tenants."""

    def load(self) -> dict[str, RuleState]:
        """What was saved last."""

    def save(self, states: Mapping[str, RuleState]) -> None:
        """Replace all of it. Atomic and durable."""


class Decoding(Protocol):
    """A source, as far as rules change what it decodes."""

    def hold(self, fields: frozenset[str]) -> None:
        """Events hold these top-level fields as attributes, from the next read on."""


def load_of(settings: Settings) -> Loaded:
    """The rules that the settings name.

    Raises:
        RuleErrors: every mistake of every file.
        ConfigError: a geo database cannot be read.
    """
    return load(
        settings.rules,
        overlay=settings.overlay,
        lists=settings.lists,
        trusted=settings.trusted_rules,
        locator=open_databases(settings.geo),
    )


class Reloader:
    """One for a service. Any thread may ask; one reload is done at a time.

    Who asks while one is under way gets the answer of the next, and so do all who ask meanwhile: a
    storm of changes is two reloads.
    """

    def __init__(
        self,
        settings: Settings,
        loaded: Loaded,
        *,
        signature: Signature,
        engine: Callable[[RuleSet], Engine],
        states: RuleStates,
        sources: Iterable[Decoding],
        watermarks: Watermarks,
        clock: Clock,
    ) -> None:
        self.rules = LiveRules(AtWork(loaded.ruleset, engine(loaded.ruleset)))
        self.tried = signature  # what the files looked like when they were read last
        self.refused: Refused | None = None  # what was read last, if it was refused
        self._settings, self._states, self._sources = settings, states, list(sources)
        self._engine, self._watermarks, self._clock = engine, watermarks, clock
        self._at_work = described(loaded)
        self._one = threading.Lock()
        self._asking = threading.Lock()
        self._asked = self._answered = 0
        self._answer: Changes | Refused = Changes(rules=len(loaded.ruleset.rules))

    def begin(self) -> None:
        """Find out what is warming, once the watermarks are restored and before the first batch.

        Raises:
            StoreUnavailable: the states cannot be read or written.
        """
        warming = self._put_to_work(self.rules.now.ruleset, self._at_work)
        if warming:
            log.info("rules.warming", rules=warming)

    def reload(self) -> Changes | Refused:
        """Read the rules anew; what changed, or why they were refused and the old ones stay.

        Raises:
            StoreUnavailable: the states cannot be written; the old rules stay.
        """
        with self._asking:
            self._asked += 1
            mine = self._asked
        with self._one:
            if self._answered < mine:
                asked = self._asked  # they all asked before a file is read
                self._answer = self._read_anew()
                self._answered = asked
            return self._answer

    def look(self) -> Signature:
        """What the files look like now."""
        return signature_of(self._settings)

    def _read_anew(self) -> Changes | Refused:
        signature = self.look()
        try:
            at_work = len(self.rules.now.ruleset.rules)
            loaded = read_anew(self._settings, signature, load_of, at_work=at_work)
        except RuleErrors as exc:
            return self._refuse(exc, signature)
        now = described(loaded)
        warming = self._put_to_work(loaded.ruleset, now)
        added, removed, changed = compared(self._at_work, now)
        self._at_work, self.tried, self.refused = now, signature, None
        log.info("rules.reloaded", rules=len(loaded.ruleset.rules), added=added, removed=removed,
                 changed=changed, warming=warming)  # fmt: skip
        for warning in loaded.ruleset.warnings:
            log.warning("rule.warning", warning=str(warning))
        return Changes(
            rules=len(loaded.ruleset.rules),
            added=added,
            removed=removed,
            changed=changed,
            warming=warming,
            not_running=loaded.ruleset.not_running,
            warnings=loaded.ruleset.warnings,
        )

    def _refuse(self, exc: RuleErrors, signature: Signature) -> Refused:
        self.refused, self.tried = Refused(exc.errors), signature
        telemetry.RULES_LAST_RELOAD_SUCCESSFUL.set(0)
        for error in exc.errors:
            log.error("rule.error", error=str(error))
        log.error("rules.refused", errors=len(exc.errors), kept=len(self.rules.now.ruleset.rules))
        return self.refused

    def _put_to_work(self, ruleset: RuleSet, now: Mapping[str, Described]) -> tuple[str, ...]:
        """Swap them in; the names of those whose state begins in the middle of the events."""
        begun: list[str] = []

        def make() -> AtWork:
            before = self._states.load()
            names = {key: rule.state for key, rule in now.items() if rule.state}
            states = carried_on(before, names, self._watermarks.newest_of_all())
            new = [key for key, state in states.items() if state != before.get(key)]
            begun.extend(sorted(now[key].name for key in new if states[key].since_ms > NEVER_MS))
            engine = self._engine(ruleset)
            if before:  # else they are what was at work before there were such states
                for tenant in self._watermarks.tenants() if new else ():
                    engine.forget(tenant, {states[key].state for key in new})
            if states != before:
                self._states.save(states)
            for source in self._sources:
                source.hold(ruleset.fields)
            return AtWork(ruleset, engine, warming_until_ms(ruleset, states.values()))

        self.rules.swap(make)
        telemetry.RULES_LOADED.set(len(ruleset.rules))
        telemetry.RULES_LAST_RELOAD_SUCCESSFUL.set(1)
        telemetry.RULES_LAST_RELOAD_SECONDS.set(self._clock.now().timestamp())
        return tuple(begun)


def warming_until_ms(ruleset: RuleSet, states: Iterable[RuleState]) -> dict[str, int]:
    """By state: the last end (event time) of a window that may lack what came before the state began.

    A correlation that counts others is whole one timespan after they are; `first_seen` once all that
    it would still remember came after it began.
    """
    since = {state.state: state.since_ms for state in states if state.since_ms > NEVER_MS}
    until: dict[str, int] = {}
    for rule in sorted(ruleset.rules, key=lambda one: one.depth):
        if rule.correlation is None:
            continue
        spec = rule.correlation.spec
        fed = [until[matcher.of] for matcher in rule.matchers if matcher.of in until]
        began = max([*fed, since.get(spec.state, NEVER_MS)])
        if began > NEVER_MS:
            # A window that its first member opens may be the rest of one that an event not seen opened.
            windows = 2 if spec.closes else 1
            remembered_ms = spec.span_ms if rule.rule.type == "first_seen" else 0
            until[spec.state] = began + max(windows * rule.rule.timespan_ms, remembered_ms)
    return until
