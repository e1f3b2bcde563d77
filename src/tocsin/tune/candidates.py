"""Which values of which params to try: `threshold=5:200`, `window=5m,10m,1h`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import product

from tocsin.clock import parse_duration
from tocsin.errors import TuneError
from tocsin.rules.params import Param
from tocsin.rules.problems import did_you_mean

MOST = 400  # candidates of one run
STEPS = 20  # of a range without a step, about
# Round numbers of a decade, from many to few; and how much wider than itself a range is by factors.
_ROUND = ((1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0, 2.0, 3.0, 5.0), (1.0,))
_WIDE = 4
_LADDER = (0.25, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)  # of what the rule says now


def combinations(params: Mapping[str, Param], asked: Sequence[str], default: str) -> list[dict[str, str]]:
    """Every combination of the values asked for, and of the present ones; the values as texts, by param.

    Where nothing was asked, a ladder around what the param `default` says now.

    Raises:
        TuneError: a param that is none, values that are none or out of its bounds, or too many.
    """
    texts = [_split(text) for text in asked]
    if not texts:
        texts = [(default, _ladder(params[default]))] if default in params else []
    if not texts:
        raise TuneError(_nothing_to_try(params))
    values = {name: _with_now(_values(name, written, params), params[name]) for name, written in texts}
    found = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    if len(found) > MOST:
        raise TuneError(f"{len(found)} combinations are too many to compare; ask for at most {MOST}")
    return found


def _nothing_to_try(params: Mapping[str, Param]) -> str:
    if params:
        first = next(iter(params))
        return f"no param of the rule sets its threshold; name one of {', '.join(params)}: --param {first}=…"
    return (
        "the rule has no params to try; a rule of your own can have one: "
        "tocsin: {params: {threshold: {default: 20}}}, and $threshold in its condition"
    )


def _with_now(values: Sequence[str], param: Param) -> list[str]:
    """The values, and the present one to compare them with; numbers and durations in order."""
    now = ", ".join(param.texts)
    found = list(dict.fromkeys([*values, *([] if "," in now else [now])]))
    for measure in (float, parse_duration):
        try:
            return sorted(found, key=measure)
        except ValueError:
            continue
    return found


def overlay_of(values: Mapping[str, Mapping[str, str]]) -> bytes:
    """The overlay that sets them, by rule and param, as YAML."""
    said = {
        rule: {"params": {name: _plain(text) for name, text in params.items()}}
        for rule, params in values.items()
    }
    return json.dumps(said).encode()


def _plain(text: str) -> float | int | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _split(text: str) -> tuple[str, str]:
    name, equals, written = text.partition("=")
    if not equals or not name or not written:
        raise TuneError(f"--param {text}: write NAME=FROM:TO, NAME=FROM:TO:STEP or NAME=ONE,ANOTHER")
    return name, written


def _values(name: str, written: str, params: Mapping[str, Param]) -> list[str]:
    param = params.get(name)
    if param is None:
        raise TuneError(
            f"the rule has no param {name}; {did_you_mean(name, params) if params else 'it has none'}"
        )
    found = _range(name, written, param) if ":" in written else [text.strip() for text in written.split(",")]
    return list(dict.fromkeys(text for text in found if text))


def _range(name: str, written: str, param: Param) -> list[str]:
    """The values of a range, inside the param's bounds."""
    try:
        bounds = [float(part) for part in written.split(":")]
    except ValueError:
        bounds = []
    if len(bounds) not in (2, 3) or bounds[0] > bounds[1] or (len(bounds) == 3 and bounds[2] <= 0):  # noqa: PLR2004
        raise TuneError(
            f"--param {name}={written}: a range is two numbers, the lower first, and maybe a step: 5:200:5"
        )
    least, most = _bound(param.least, -math.inf), _bound(param.most, math.inf)
    low, high = max(bounds[0], least), min(bounds[1], most)
    if low > high:
        raise TuneError(f"--param {name}={written}: {name} must be {_allowed(param)}")
    whole = all(bound == int(bound) for bound in bounds) and _is_whole(param)
    if len(bounds) == 3:  # noqa: PLR2004
        count = min(int((bounds[1] - bounds[0]) / bounds[2] + 1e-9), 10 * MOST) + 1
        numbers = [bounds[0] + step * bounds[2] for step in range(count)]
        numbers = [number for number in numbers if low <= number <= high]
    elif whole and high - low < STEPS:
        numbers = [low + step for step in range(int(high - low) + 1)]
    else:
        numbers = _spread(low, high, whole=whole)
    return [_shown(number, whole=whole) for number in numbers]


def left_out(asked: Sequence[str], params: Mapping[str, Param]) -> list[str]:
    """What to say of ranges that reach beyond their param's bounds."""
    told = []
    for name, written in map(_split, asked):
        param = params.get(name)
        if param is None or ":" not in written:
            continue
        low, high = (_bound(text, math.nan) for text in written.split(":")[:2])
        if low < _bound(param.least, -math.inf) or high > _bound(param.most, math.inf):
            told.append(f"--param {name}={written}: {name} must be {_allowed(param)}; the rest is left out")
    return told


def _allowed(param: Param) -> str:
    parts = (param.least and f"at least {param.least}", param.most and f"at most {param.most}")
    return " and ".join(filter(None, parts))


def _is_whole(param: Param) -> bool:
    """Whether its present value is a whole number, or none at all."""
    number = _bound(param.value[0].text, 0)
    return number == int(number)


def _spread(low: float, high: float, *, whole: bool) -> list[float]:
    """Round numbers from low to high, and these two: of a wide range each by a factor, else by a step."""
    if low > 0 and high / low >= _WIDE:
        found = next(
            (some for some in (_rounds(low, high, of) for of in _ROUND) if len(some) <= STEPS),
            _rounds(low, high, _ROUND[-1]),
        )
    else:
        step = _step((high - low) / STEPS)
        first = math.ceil(low / step - 1e-9)
        found = [step * count for count in range(first, int(high / step + 1e-9) + 1)]
    if whole:
        found = [number for number in found if number == int(number)]
    return sorted({low, high, *found})


def _rounds(low: float, high: float, of: Sequence[float]) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    # As text and back: 3 times 0.1 is not 0.3.
    numbers = [float(f"{number}e{decade}") for decade in decades for number in of]
    return [number for number in numbers if low <= number <= high]


def _step(least: float) -> float:
    """The least of 1, 2 and 5, times a power of ten, that is no less."""
    decade = math.floor(math.log10(least)) if least > 0 else 0
    return next(step for step in (float(f"{n}e{decade}") for n in (1, 2, 5, 10)) if step >= least - 1e-12)


def _ladder(param: Param) -> str:
    """Round values around the present one, inside the param's bounds."""
    value = float(param.value[0].text)
    whole = value == int(value)
    numbers = [value if factor == 1 else _nearest_round(value * factor) for factor in _LADDER]
    least, most = _bound(param.least, -math.inf), _bound(param.most, math.inf)
    within = [
        number
        for number in numbers
        if least <= number <= most and (not whole or (number >= 1 and number == int(number)))
    ]
    return ",".join(_shown(number, whole=whole) for number in within) or param.value[0].text


def _nearest_round(number: float) -> float:
    if number <= 0:
        return number
    return min(_rounds(number / 2, number * 2, _ROUND[0]), key=lambda one: abs(one - number))


def _bound(text: str, none: float) -> float:
    """A bound of a param as a number; a duration's is none here."""
    try:
        return float(text)
    except ValueError:
        return none


def _shown(number: float, *, whole: bool) -> str:
    return str(round(number)) if whole else f"{number:.4g}"
