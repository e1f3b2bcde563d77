"""pySigma's side: what its parser makes of a rule, read by the plainest evaluator there can be.

The trees are pySigma's; what one value says of one field is spelled out here from Sigma's
specification, without an import of ours.
"""

from __future__ import annotations

import copy
import ipaddress
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.exceptions import SigmaError
from sigma.policy.profiles import TrustedPolicy
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import ValueListPlaceholderTransformation
from sigma.rule import SigmaRule
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

Record = Mapping[str, Any]


class Refusal(NamedTuple):
    """pySigma does not take the rule. `crash`: it fell over it instead of saying so."""

    reason: str
    crash: bool = False


class Parsed(NamedTuple):
    """The conditions' trees, joined by OR."""

    trees: tuple[Any, ...]

    def holds(self, record: Record) -> bool:
        """Whether the rule matches the record."""
        return any(holds(tree, record) for tree in self.trees)


def parsed(document: Mapping[str, Any], lists: Mapping[str, Sequence[str]] | None = None) -> Parsed | Refusal:
    """What pySigma makes of a rule; `lists` fill its placeholders."""
    try:
        rule = SigmaRule.from_dict(copy.deepcopy(dict(document)), policy=TrustedPolicy)
        if lists:
            filling = ProcessingItem(ValueListPlaceholderTransformation())
            ProcessingPipeline([filling], vars=dict(lists)).apply(rule)
        trees = tuple(condition.parsed for condition in rule.detection.parsed_condition)
    except SigmaError as refusal:
        return Refusal(str(refusal))
    except (AttributeError, TypeError, ValueError, RecursionError) as crash:
        return Refusal(repr(crash), crash=True)
    open_names = [value for value in values_of(trees) if _is_open(value)]
    return Refusal("a placeholder is not filled") if open_names else Parsed(trees)


def values_of(trees: Sequence[Any]) -> Iterator[SigmaType]:
    """Every value of the trees, expansions opened."""
    for tree in trees:
        if isinstance(tree, ConditionFieldEqualsValueExpression | ConditionValueExpression):
            values = tree.value.values if isinstance(tree.value, SigmaExpansion) else [tree.value]
            yield from values
        else:
            yield from values_of(tree.args)


def _is_open(value: SigmaType) -> bool:
    if isinstance(value, SigmaRegularExpression):
        value = value.regexp
    return isinstance(value, SigmaString) and any(isinstance(part, Placeholder) for part in value.s)


def holds(tree: Any, record: Record) -> bool:
    """Whether pySigma's tree is true of a record."""
    match tree:
        case ConditionAND(args=args):
            return all(holds(arg, record) for arg in args)
        case ConditionOR(args=args):
            return any(holds(arg, record) for arg in args)
        case ConditionNOT(args=[arg]):
            return not holds(arg, record)
        case ConditionFieldEqualsValueExpression(field=field, value=value):
            return _field_is(field, value, record)
        case ConditionValueExpression(value=value):
            return any(_is(anywhere(value), leaf, record) for leaf in _leaves(record))
        case _:
            raise AssertionError(f"an unknown kind of condition: {tree!r}")


def _field_is(field: str, value: SigmaType, record: Record) -> bool:
    if isinstance(value, SigmaExpansion):
        return any(_field_is(field, one, record) for one in value.values)
    if isinstance(value, SigmaExists):
        return (field in record) is value.exists
    found = record.get(field)
    return any(_is(value, leaf, record) for leaf in (found if isinstance(found, list) else [found]))


def anywhere(value: SigmaType) -> SigmaType:
    """A keyword is looked for anywhere in a text."""
    if isinstance(value, SigmaNumber):
        value = SigmaString(str(value.number))
    if isinstance(value, SigmaExpansion):
        return SigmaExpansion([anywhere(one) for one in value.values])
    if not isinstance(value, SigmaString):
        return value
    wide = type(value)()
    wide.s = [SpecialChars.WILDCARD_MULTI, *value.s, SpecialChars.WILDCARD_MULTI]
    return wide


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    else:
        yield value


def texts(value: Any) -> set[str]:
    """The texts that a record's value is; none for null. A whole float is an int, too."""
    if value is None:
        return set()
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, float) and value.is_integer():
        return {str(int(value)), repr(value)}
    return {str(value)}


def _is(wanted: SigmaType, found: Any, record: Record) -> bool:  # noqa: PLR0911 - one row a kind of value
    """One value of a rule against one leaf of a record."""
    match wanted:
        case SigmaExpansion(values=values):
            return any(_is(one, found, record) for one in values)
        case SigmaNull():
            return found is None
        case SigmaBool(boolean=boolean):
            return str(boolean).lower() in {text.lower() for text in texts(found)}
        case SigmaTimestampPart():
            return _part(wanted, found) == wanted.number
        case SigmaNumber(number=number):
            return not isinstance(found, bool) and bool(texts(number) & texts(found))
        case SigmaCasedString():
            return any(pattern(wanted).fullmatch(text) for text in texts(found))
        case SigmaString():
            return any(pattern(wanted, str.casefold).fullmatch(text.casefold()) for text in texts(found))
        case SigmaRegularExpression():
            flags = sum(SigmaRegularExpression.sigma_to_python_flags[flag] for flag in wanted.flags)
            return any(re.search(str(wanted.regexp), text, flags) for text in texts(found))
        case SigmaCIDRExpression(network=network):
            return any(_inside(network, text) for text in texts(found))
        case SigmaCompareExpression():
            return _compares(wanted, found)
        case SigmaFieldReference():
            return _refers(wanted, found, record)
        case _:
            raise AssertionError(f"an unknown kind of value: {wanted!r}")


def pattern(value: SigmaString, fold: Callable[[str], str] = str) -> re.Pattern[str]:
    """A Sigma text as a regular expression for the whole of a text."""
    wild = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
    parts = [re.escape(fold(part)) if isinstance(part, str) else wild[part] for part in value.s]
    return re.compile("".join(parts), re.DOTALL)


def _inside(network: ipaddress.IPv4Network | ipaddress.IPv6Network, text: str) -> bool:
    try:
        return ipaddress.ip_address(text) in network
    except ValueError:
        return False


def _compares(wanted: SigmaCompareExpression, found: Any) -> bool:
    if isinstance(wanted.number, SigmaTimestampPart):
        number = _part(wanted.number, found)
    else:
        number = None if isinstance(found, bool) else _float(found)
    if number is None:
        return False
    wish = wanted.number.number
    truth = {
        CompareOperators.LT: number < wish,
        CompareOperators.LTE: number <= wish,
        CompareOperators.GT: number > wish,
        CompareOperators.GTE: number >= wish,
    }
    return truth[wanted.op]


def _float(found: Any) -> float | None:
    try:
        return float(found)
    except (TypeError, ValueError):
        return None


def _part(wanted: SigmaTimestampPart, found: Any) -> int | None:
    """The part of a moment, UTC. A number is one, too: seconds since the epoch."""
    try:
        seconds = None if isinstance(found, bool) else _float(found)
        moment = datetime.fromisoformat(found) if seconds is None else datetime.fromtimestamp(seconds, UTC)
        moment = moment.astimezone(UTC)
    except (TypeError, ValueError):
        return None
    if wanted.timestamp_part.name == "WEEK":
        return moment.isocalendar().week
    part: int = getattr(moment, wanted.timestamp_part.name.lower())
    return part


def _refers(wanted: SigmaFieldReference, found: Any, record: Record) -> bool:
    other = record.get(wanted.field)
    others = itertools.chain.from_iterable(map(texts, other if isinstance(other, list) else [other]))
    pairs = [(one.casefold(), two.casefold()) for two in others for one in texts(found)]
    match wanted.starts_with, wanted.ends_with:
        case True, True:
            return any(two in one for one, two in pairs)
        case True, False:
            return any(one.startswith(two) for one, two in pairs)
        case False, True:
            return any(one.endswith(two) for one, two in pairs)
        case _:
            return any(one == two for one, two in pairs)
