"""`alerts/routing.yml`: read, checked as a whole, and made a tree of routes."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tocsin.alerts.route import Route
from tocsin.clock import parse_duration
from tocsin.errors import ConfigError
from tocsin.model.silence import parse_matcher

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
_OPENS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_CLOSES = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_Place = tuple[str | int, ...]
_DEFAULTS = Route(
    path="{}",
    group="{}",
    channels=(),
    group_by=("entity",),
    group_wait=timedelta(seconds=10),
    group_interval=timedelta(minutes=5),
    repeat_interval=timedelta(hours=4),
)


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration; write a number and a unit, like 30s, 10m, 4h or 7d")  # noqa: TRY004 - pydantic gathers ValueErrors
    return parse_duration(value)


def _above_zero(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("must be longer than 0s, or it would repeat without end")
    return duration


def _matcher(text: str) -> str:
    parse_matcher(text)
    return text


_Duration = Annotated[timedelta, BeforeValidator(_duration)]


class RouteSpec(BaseModel):
    """A route as it is written; what is left out is the parent's."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)

    matchers: list[Annotated[str, AfterValidator(_matcher)]] = []
    channels: list[str] | None = None
    group_by: list[str] | None = None
    group_wait: _Duration | None = None
    group_interval: _Duration | None = None
    repeat_interval: Annotated[_Duration, AfterValidator(_above_zero)] | None = None
    continues: bool = Field(default=False, alias="continue")
    routes: list[RouteSpec] = []


class RoutingSpec(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    route: RouteSpec


def load_routing(path: Path, channels: Collection[str]) -> Route:
    """The routing tree of a file; `channels` are the names the settings know, in their order.

    A top route that names no channels tells all of them.

    Raises:
        ConfigError: all mistakes at once, each `file:line: what; how to fix it`.
    """
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    node, data = _parsed(path, text)
    lines = _lines(node) if node is not None else {}
    mistakes = _duplicates(node) if node is not None else []
    mistakes += _misplaced(data, lines, channels)
    try:
        spec = RoutingSpec.model_validate(data)
    except ValidationError as exc:
        mistakes += [(_line(lines, error["loc"]), _told(error)) for error in exc.errors()]
        raise _all(path, mistakes) from exc
    if mistakes:
        raise _all(path, mistakes)
    everybody = tuple(sorted(channels) if isinstance(channels, set | frozenset) else channels)
    return _built(spec.route, replace(_DEFAULTS, channels=everybody), "{}")


def channels_told(route: Route) -> frozenset[str]:
    """Every channel that the route or one below it names or inherits."""
    return frozenset(route.channels).union(*(channels_told(child) for child in route.routes))


def _all(path: Path, mistakes: Sequence[tuple[int, str]]) -> ConfigError:
    return ConfigError("\n".join(f"{path}:{line}: {what}" for line, what in sorted(set(mistakes))))


def _told(error: Any) -> str:
    name = str(error["loc"][-1]) if error["loc"] else "the file"
    match error["type"]:
        case "extra_forbidden":
            fields = RoutingSpec.model_fields if len(error["loc"]) == 1 else RouteSpec.model_fields
            known = [field.alias or key for key, field in fields.items()]
            return f'unknown key "{name}"; {_nearest(name, known, "the keys are")}'
        case "missing":
            return f'"{name}" is missing; the file is {{route: {{channels: [...], ...}}}}'
        case "value_error":
            return f"{_key(error['loc'])}: {error['ctx']['error']}"
        case _:
            return f"{_key(error['loc'])}: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _key(place: _Place) -> str:
    """The key that a mistake is about, without the number in its list."""
    return next((part for part in reversed(place) if isinstance(part, str)), "the file")


def _nearest(name: str, known: Collection[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"{otherwise} {', '.join(sorted(known)) or 'none'}"


def _misplaced(data: Any, lines: dict[_Place, int], channels: Collection[str]) -> list[tuple[int, str]]:
    """What is well formed and still wrong; it is asked of the plain data, so that nothing hides it."""
    root = _at(data, "route")
    found = _unknown_channels(root, ("route",), lines, channels)
    if _at(root, "matchers"):
        found.append(
            (
                _line(lines, ("route", "matchers")),
                "the top route takes every alert; put the matchers on a route below it",
            )
        )
    return found


def _at(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, dict) else None


def _list_at(data: Any, key: str) -> list[Any]:
    found = _at(data, key)
    return found if isinstance(found, list) else []


def _unknown_channels(
    route: Any, place: _Place, lines: dict[_Place, int], channels: Collection[str]
) -> list[tuple[int, str]]:
    found = [
        (
            _line(lines, (*place, "channels", index)),
            f'unknown channel "{name}"; {_nearest(name, channels, "the channels in the settings are")}',
        )
        for index, name in enumerate(_list_at(route, "channels"))
        if isinstance(name, str) and name not in channels
    ]
    for index, child in enumerate(_list_at(route, "routes")):
        found += _unknown_channels(child, (*place, "routes", index), lines, channels)
    return found


def _built(spec: RouteSpec, parent: Route, path: str) -> Route:
    route = Route(
        path=path,
        group=parent.group if spec.channels is None and spec.group_by is None else path,
        channels=parent.channels if spec.channels is None else tuple(dict.fromkeys(spec.channels)),
        group_by=parent.group_by if spec.group_by is None else tuple(dict.fromkeys(spec.group_by)),
        group_wait=parent.group_wait if spec.group_wait is None else spec.group_wait,
        group_interval=parent.group_interval if spec.group_interval is None else spec.group_interval,
        repeat_interval=parent.repeat_interval if spec.repeat_interval is None else spec.repeat_interval,
        matchers=tuple(parse_matcher(text) for text in spec.matchers),
        continues=spec.continues,
    )
    paths = _paths(path, spec.routes)
    children = tuple(_built(child, route, below) for child, below in zip(spec.routes, paths, strict=True))
    return replace(route, routes=children)


def _paths(parent: str, children: Sequence[RouteSpec]) -> list[str]:
    """A name for each child; two with the same matchers are told apart by their order."""
    seen: Counter[str] = Counter()
    paths = []
    for child in children:
        name = "{" + ",".join(sorted(str(parse_matcher(text)) for text in child.matchers)) + "}"
        seen[name] += 1
        paths.append(f"{parent}/{name}" + (f"#{seen[name]}" if seen[name] > 1 else ""))
    return paths


def _parsed(path: Path, text: bytes) -> tuple[yaml.Node | None, Any]:
    """The file's nodes, with their lines, and its data. No aliases: a few can stand for gigabytes."""
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than 1 MB; a routing file is a few lines")
    try:
        depth = 0
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            if depth > MAX_DEPTH:
                raise ConfigError(
                    f"{path}:{token.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels"
                )
            if isinstance(token, yaml.AliasToken | yaml.TagToken):
                kind = "aliases (*name)" if isinstance(token, yaml.AliasToken) else "tags (!name)"
                raise ConfigError(
                    f"{path}:{token.start_mark.line + 1}: {kind} are not read here; write it out"
                )
        return yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise ConfigError(f"{path}:{mark.line + 1 if mark else 1}: not YAML: {exc.problem}") from exc
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        raise ConfigError(f"{path}: not YAML: {exc}") from exc


def _lines(node: yaml.Node, place: _Place = ()) -> dict[_Place, int]:
    """The line, from 1, of everything in the file, by its place."""
    found = {place: node.start_mark.line + 1}
    for key, value, line in _members(node):
        found |= _lines(value, (*place, key))
        found[(*place, key)] = line
    return found


def _members(node: yaml.Node) -> list[tuple[str | int, yaml.Node, int]]:
    if isinstance(node, yaml.MappingNode):
        return [(str(key.value), value, key.start_mark.line + 1) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(index, item, item.start_mark.line + 1) for index, item in enumerate(node.value)]
    return []


def _duplicates(node: yaml.Node) -> list[tuple[int, str]]:
    members = _members(node)
    keys = Counter(key for key, _, _ in members)
    found = [(line, f'"{key}" is written twice; keep one') for key, _, line in members if keys[key] > 1][1::2]
    for _, value, _ in members:
        found += _duplicates(value)
    return found


def _line(lines: dict[_Place, int], place: _Place) -> int:
    """The line of that place, or of the nearest thing around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)
