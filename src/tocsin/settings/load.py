"""A config file and the environment into `Settings`: all mistakes at once, each with its place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsError

from tocsin.errors import ConfigError
from tocsin.settings.document import Document, Steps, load_document
from tocsin.settings.mistakes import in_order, near_name, nearest, placed, problem, unknown_key
from tocsin.settings.model import ENV_DELIMITER, ENV_PREFIX, Settings
from tocsin.settings.secret import Secret
from tocsin.settings.values import relative_to


class ChannelKind(Protocol):
    """What the registry of channels holds: classes that carry their config's model."""

    @property
    def Config(self) -> type[BaseModel]:  # noqa: N802 - a class attribute that is a class
        """The model of the channel's settings."""


class Reading(NamedTuple):
    """What could be read, and a line for everything wrong.

    `settings` are what is sound, with the default in place of what is `wrong` (the names of the
    options, and `channels.x` for one of several); None where nothing can be told of them.
    """

    settings: Settings | None
    problems: list[str]
    wrong: frozenset[str] = frozenset()


def load_settings(path: Path | None = None) -> Settings:
    """The settings in `path`, overridden by `TOCSIN_…` variables; None: the defaults.

    Relative paths, those in variables too, start at the file's folder (without a file: at the
    working directory).

    Raises:
        ConfigError: everything that is wrong, a line each.
    """
    settings, problems, _ = read_settings(path)
    if problems or settings is None:
        raise ConfigError("\n".join(problems))
    return settings


def read_settings(path: Path | None = None) -> Reading:
    """As `load_settings`, but what is sound is judged on beside what is wrong."""
    try:
        if path is None:
            return _reading(Document("the default settings", {}), Path())
        with contextlib.suppress(OSError):  # reading it says what else is wrong
            if not path.exists():
                raise ConfigError(f"{path}: no such file; `tocsin init` writes one to start from")
        return _reading(load_document(path), path.parent)
    except ConfigError as exc:
        return Reading(None, str(exc).splitlines())


def _reading(document: Document, folder: Path) -> Reading:
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        return Reading(None, [f"{document.file}:1: settings are `key: value` lines"])
    known = {key: value for key, value in data.items() if key in Settings.model_fields}
    unknown = [key for key in data if key not in known]
    problems = [unknown_key(document, Settings, (key,)) for key in unknown]
    wrong = {near for key in unknown if (near := near_name(key, Settings.model_fields))}
    settings = None
    with relative_to(folder):
        try:
            settings = Settings(**known)
        except ValidationError as exc:
            problems += [problem(document, Settings, error) for error in exc.errors()]
            places = {error["loc"] for error in exc.errors()}
            wrong |= {_option(place) for place in places}
            settings = _sound(known, wrong, places)
        except SettingsError as exc:
            message = f"environment variables {ENV_PREFIX}…: {exc}; lists and tables are written as JSON"
            problems.append(message)
            settings = _sound(known, wrong, set())
    if settings is not None:
        problems += _heartbeat_problems(document, settings, wrong)
        settings = settings.came_from(document, folder)
    return Reading(settings, in_order(problems), frozenset(wrong))


_SEVERAL = ("sources", "channels", "lists")  # options that hold things by name
_LISTED = ("rules", "templates")  # and those that list paths


def _option(steps: Steps) -> str:
    """The least part of the settings that can be left out when what stands at `steps` is wrong."""
    return ".".join(map(str, steps[:2] if steps[:1] and steps[0] in _SEVERAL else steps[:1]))


class _FileSettings(Settings):
    """Without the environment, whose variables win over whatever the file says, wrong ones too."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings names them
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file alone."""
        return (init_settings,)


def _sound(known: Mapping[str, Any], wrong: set[str], places: set[Steps]) -> Settings | None:
    """The settings without what is wrong; None where they still cannot be read."""
    left: dict[str, Any] = {}
    for key, value in known.items():
        if key in _SEVERAL and isinstance(value, dict) and key not in wrong:
            left[key] = {name: item for name, item in value.items() if f"{key}.{name}" not in wrong}
        elif key in _LISTED and isinstance(value, list) and (key,) not in places:
            left[key] = [item for number, item in enumerate(value) if (key, number) not in places]
        elif key not in wrong:
            left[key] = value
    left = {key: value for key, value in left.items() if value or key not in _LISTED}
    for kind in (Settings, _FileSettings):
        with contextlib.suppress(ValidationError, SettingsError):
            return kind(**left)
    return None


def _heartbeat_problems(document: Document, settings: Settings, wrong: set[str]) -> list[str]:
    """A heartbeat goes to a channel that there is, or would be if it were sound."""
    written = document.data.get("heartbeat") if isinstance(document.data, dict) else None
    channel = written.get("channel") if isinstance(written, dict) else None
    if settings.heartbeat is not None:
        channel = settings.heartbeat.channel
    if not isinstance(channel, str) or "channels" in wrong:
        return []
    if channel in settings.channels or f"channels.{channel}" in wrong:
        return []
    known = ", ".join(sorted(settings.channels)) or "none"
    told = f'heartbeat: there is no channel "{channel}"; there are: {known}'
    return [placed(document, ("heartbeat", "channel"), told)]


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
            problems += [problem(settings.document, config, e, ("channels", name)) for e in exc.errors()]
    if problems:
        raise ConfigError("\n".join(in_order(problems)))
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
