"""What a correlation type is to the parser, the compiler and the tools: one `CorrelationType` each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tocsin.model.alert import Reader
from tocsin.model.compiled import Correlation
from tocsin.model.event import Event
from tocsin.model.ledger import Seen
from tocsin.model.place import Locator
from tocsin.rules.correlations.counting import Bounds
from tocsin.rules.detection.fields import Vocabulary
from tocsin.rules.document import Scalar
from tocsin.rules.params import Param
from tocsin.rules.problems import Mark
from tocsin.rules.section import Section

Schema = Mapping[str, object]


class Counting(NamedTuple):
    """What a type read of its own keys, `condition` included.

    `bounds` are what the score is compared with; `highest` what a param may raise them to. `fields`
    are the fields whose values it counts or computes with. `steps` are conditions over the
    document's selections, each of which sorts out events of its own. `own` is whatever else it
    needs, hashable. `timespan_ms` is for types that say the timespan in another word (0: it is the
    `timespan`). `expected` are groups that the rule names itself, as written.
    """

    bounds: Bounds
    highest: float = 0
    fields: tuple[str, ...] = ()
    steps: tuple[Scalar, ...] = ()
    own: object = None
    timespan_ms: int = 0
    expected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CorrelationSpec:
    """A correlation, of Sigma's own document or of `tocsin.correlate`. See `Counting` for the rest."""

    type: str
    mark: Mark
    rules: tuple[Scalar, ...]
    group_by: tuple[str, ...]
    timespan_ms: int
    bounds: Bounds
    fields: tuple[str, ...] = ()
    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    highest: float = 0
    allow_missing: bool = False
    generate: bool = False
    steps: tuple[Scalar, ...] = ()
    own: object = None
    expected: tuple[str, ...] = ()
    prefixes: Mapping[str, int] = field(default_factory=dict)  # bits of IPv6 networks, by field as written


class Reading(NamedTuple):
    """A correlation under reading: its section, its params, and the names of the rules it counts.

    `vocabulary` is that of the document it counts itself (None: it counts other rules).
    """

    section: Section
    params: Mapping[str, Param]
    rules: tuple[Scalar, ...]
    group_by: tuple[str, ...]
    timespan_ms: int
    vocabulary: Vocabulary | None = None


class Input(NamedTuple):
    """Where one matcher's members come from.

    `step` counts from 0: which of the rules, or of the spec's steps. `values` read the spec's
    fields of an event, in that order. `group` reads its group-by fields. `locator` finds places of
    addresses (None: only what the record itself says).
    """

    spec: CorrelationSpec
    step: int
    values: tuple[Reader, ...]
    group: tuple[Reader, ...]
    locator: Locator | None


SeenBy = Callable[[Sequence[Event]], list[Seen]]


def nothing_else(_spec: CorrelationSpec) -> object:
    """Of a type whose state depends on selections, fields and timespan alone."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationType:
    """One correlation type.

    `read` reads its own keys; None after a mistake, which it noted. `build` takes the state's name,
    the spec, and the highest bound that a severity or a param may ask for. `seen` makes what turns
    events into a ledger's members (None: it counts events or values, without a ledger).
    `identity`: what, beyond selections, fields, steps and timespan, makes its state another one
    when it changes; never a threshold. `unable` says why it cannot run here (empty: it can).
    `shows`: the step (negative: from the last) whose events alone are evidence (None: all of them).
    `sigma`: it is Sigma's own, and counts other rules; the others stand in `tocsin.correlate` only.
    `timespan`: it needs that key. `windowed`: the timespan is how long its window is, and not only
    how much of the past an alert shows. `example` is a condition, for messages. `keys` are the JSON
    Schemas of its own keys, `required` those it cannot do without; `summary` says in one line when it
    is true.
    """

    summary: str
    read: Callable[[Reading], Counting | None]
    build: Callable[[str, CorrelationSpec, float], Correlation]
    example: str
    keys: Mapping[str, Schema]
    required: tuple[str, ...] = ("condition",)
    seen: Callable[[Input], SeenBy] | None = None
    identity: Callable[[CorrelationSpec], object] = nothing_else
    unable: Callable[[CorrelationSpec, Locator | None], str] = lambda _spec, _locator: ""
    shows: int | None = None
    sigma: bool = True
    timespan: bool = True
    windowed: bool = True
