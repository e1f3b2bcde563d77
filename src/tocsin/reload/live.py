"""The rules at work, and the moment between two batches at which others take their place.

Why batches are counted and not only the reference swapped: an event that the old rules are still
counting would be missing in the state of the new ones, and nobody would know. So a swap waits until
no loop is inside a batch, and holds the next ones off; what was evaluated then is what the watermarks
say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tocsin.engine import Engine
from tocsin.model.alert import Triggers
from tocsin.model.compiled import RuleSet
from tocsin.model.event import Event
from tocsin.model.readable import readable


@dataclass(frozen=True, slots=True)
class AtWork:
    """A rule set, and the engine that runs it.

    `warming_until_ms`: of each state that began while events were being evaluated, up to when (event
    time) the windows that end may lack what came before it.
    """

    ruleset: RuleSet
    engine: Engine
    warming_until_ms: Mapping[str, int] = field(default_factory=dict)

    def readable(self, events: list[Event]) -> list[Event]:
        """The events as these rules read them; some may have been decoded for the rules before."""
        return readable(events, self.ruleset.fields)

    def marked(self, triggers: list[Triggers]) -> list[Triggers]:
        """The triggers, knowing up to when their windows are warming."""
        warming = self.warming_until_ms
        if not warming:
            return triggers
        return [
            trigger._replace(warming_until_ms=warming[trigger.state]) if trigger.state in warming else trigger
            for trigger in triggers
        ]


class LiveRules:
    """What the loops work with. A batch begins and ends with the same rules."""

    def __init__(self, first: AtWork) -> None:
        self._now = first
        self._changed = threading.Condition()
        self._batches = 0
        self._swapping = False

    @property
    def now(self) -> AtWork:
        """The rules at work, for those who only look."""
        return self._now

    @contextmanager
    def batch(self) -> Iterator[AtWork]:
        """The rules for one batch; they stay until it ends. Not inside another: a swap would never come."""
        with self._changed:
            self._changed.wait_for(lambda: not self._swapping)
            self._batches += 1
        try:
            yield self._now
        finally:
            with self._changed:
                self._batches -= 1
                self._changed.notify_all()

    def swap(self, make: Callable[[], AtWork]) -> None:
        """Between two batches of every loop, put to work what `make` says; if it raises, nothing changes."""
        with self._changed:
            self._changed.wait_for(lambda: not self._swapping)
            self._swapping = True
            self._changed.wait_for(lambda: not self._batches)
        try:
            self._now = make()
        finally:
            with self._changed:
                self._swapping = False
                self._changed.notify_all()
