"""A config file and the environment into `Settings`: all mistakes at once, each with its place."""

from __future__ import annotations

import contextlib
import difflib
import os
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from tocsin.errors import ConfigError
from tocsin.settings.document import Document, Steps, load_document
from tocsin.settings.model import ENV_DELIMITER, ENV_PREFIX, Settings
from tocsin.settings.secret import Secret
from tocsin.settings.values import relative_to


class ChannelKind(Protocol):
    """What the registry of channels holds: classes that carry their config's model."""

    @property
    def Config(self) -> type[BaseModel]:  # noqa: N802 - a class attribute that is a class
        """The model of the channel's settings."""


def load_settings(path: Path | None = None) -> Settings:
    """The settings in `path`, overridden by `TOCSIN_…` variables; None: the defaults.

    Relative paths, those in variables too, start at the file's folder (without a file: at the
    working directory).

    Raises:
        ConfigError: everything that is wrong, a line each.
    """
    if path is None:
        return _settings_of(Document("the default settings", {}), Path())
    with contextlib.suppress(OSError):  # reading it says what else is wrong
        if not path.exists():
            raise ConfigError(f"{path}: no such file; `tocsin init` writes one to start from")
    return _settings_of(load_document(path), path.parent)


def _settings_of(document: Document, folder: Path) -> Settings:
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError(f"{document.file}:1: settings are `key: value` lines")
    known = {key: value for key, value in data.items() if key in Settings.model_fields}
    problems = [_unknown_key(document, Settings, (key,)) for key in data if key not in known]
    try:
        with relative_to(folder):
            settings = Settings(**known)
    except ValidationError as exc:
        problems += [_problem(document, Settings, error) for error in exc.errors()]
    except SettingsError as exc:
        problems.append(f"environment variables {ENV_PREFIX}…: {exc}; lists and tables are written as JSON")
    if problems:
        raise ConfigError("\n".join(_in_order(problems)))
    return settings.came_from(document, folder)


def validate_channels(settings: Settings, registry: Mapping[str, ChannelKind]) -> dict[str, BaseModel]:
    """Each channel's settings as its kind's `Config`, by channel name.

    Raises:
        ConfigError: everything that is wrong, a line each.
    """
    made: dict[str, BaseModel] = {}
    problems: list[str] = []
    for name, raw in settings.channels.items():
        kind = raw.get("type")
        if not isinstance(kind, str) or kind not in registry:
            problems.append(_unknown_type(settings.document, name, kind, registry))
            continue
        config = registry[kind].Config
        given = raw if "type" in config.model_fields else {k: v for k, v in raw.items() if k != "type"}
        try:
            with relative_to(settings.folder):
                made[name] = config.model_validate(given)
        except ValidationError as exc:
            problems += [_problem(settings.document, config, e, ("channels", name)) for e in exc.errors()]
    if problems:
        raise ConfigError("\n".join(_in_order(problems)))
    return made


def mistaken_variables() -> list[str]:
    """Environment variables that look like a setting misspelt, a line each.

    Others that begin with TOCSIN_ are left alone: Kubernetes makes some for a service of that name.
    """
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields}
    found = []
    for name in sorted(os.environ):
        top = name.upper().split(ENV_DELIMITER)[0]
        near = nearest(top, known) if top.startswith(ENV_PREFIX) and top not in known else ""
        if near:
            found.append(f"environment variable {name} is no setting{near}")
    return found


def secrets_in(model: BaseModel) -> Iterator[Secret]:
    """Every secret that a validated model holds, at any depth."""
    for value in dict(model).values():
        yield from _secrets_in(value)


def _secrets_in(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, BaseModel):
        yield from secrets_in(value)
    elif isinstance(value, Mapping):
        yield from (found for item in value.values() for found in _secrets_in(item))
    elif isinstance(value, list | tuple):
        yield from (found for item in value for found in _secrets_in(item))


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?`, or nothing when none is near."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean "{found[0]}"?' if found else ""


def _unknown_type(document: Document, name: str, kind: object, registry: Mapping[str, ChannelKind]) -> str:
    steps = ("channels", name, "type")
    if kind is None:
        return document.error(
            steps, f"channels.{name}: type is missing; write one of {_listed(registry)}", key=True
        )
    hint = nearest(str(kind), registry) or f"; there are {_listed(registry)}"
    return document.error(steps, f'channels.{name}: unknown type "{kind}"{hint}')


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _problem(document: Document, model: type[BaseModel], error: ErrorDetails, under: Steps = ()) -> str:
    """One line for one pydantic error. What was written is not repeated: it might be a secret."""
    steps = (*under, *error["loc"])
    if error["type"] == "extra_forbidden":
        return _unknown_key(document, _model_at(model, error["loc"][:-1]), steps)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return document.error(steps[:-1], f"{_dotted(steps)} is missing", key=True)
    variable = _variable(steps)
    if variable is not None:
        return f"{variable}: {_sentence(message)}"
    if not steps:  # said of the whole, by a validator that names the key first
        return document.error((message.partition(":")[0],), message)
    return document.error(steps, f"{_dotted(_real(document, steps))}: {_sentence(message)}")


def _unknown_key(document: Document, model: type[BaseModel] | None, steps: Steps) -> str:
    key = str(steps[-1])
    hint = nearest(key, model.model_fields) if model is not None else ""
    return document.error(steps, f'unknown key "{key}"{hint}', key=True)


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:] if message.startswith("Input ") else message


def _dotted(steps: Sequence[str | int]) -> str:
    return ".".join(str(step) for step in steps)


def _real(document: Document, steps: Steps) -> Steps:
    """The steps that exist in the file, without pydantic's names of union members."""
    found: Steps = ()
    for step in steps:
        if (*found, step) in document.values:
            found = (*found, step)
    return found or steps


def _variable(steps: Steps) -> str | None:
    """The environment variable that gave the value at `steps`; None when the file did."""
    names = [f"{ENV_PREFIX}{ENV_DELIMITER.join(map(str, steps[: n + 1]))}".upper() for n in range(len(steps))]
    set_here = {name.upper() for name in os.environ}
    return next((name for name in reversed(names) if name in set_here), None)


def _model_at(model: type[BaseModel], steps: Sequence[str | int]) -> type[BaseModel] | None:
    """The model that judges what stands at `steps`; None where there is none."""
    here: Any = model
    for step in steps:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(step)].annotation if step in here.model_fields else here
        else:
            arguments = get_args(here)
            here = arguments[-1] if get_origin(here) in (dict, list) and arguments else here
        here = _without_none(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return next((a for a in get_args(annotation) if a is not type(None)), annotation)
    return annotation


def _in_order(problems: Iterable[str]) -> list[str]:
    """By line; those without one first."""

    def line(problem: str) -> int:
        parts = problem.split(":", 2)
        return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0

    return sorted(problems, key=line)
