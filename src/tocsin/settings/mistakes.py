"""What pydantic finds wrong, in a line each that a person can act on: the place, the thing, the way out."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from tocsin.settings.document import Document, Steps
from tocsin.settings.model import ENV_DELIMITER, ENV_PREFIX

LONGEST_SHOWN = 64  # characters of what was written where one of a few words belongs


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "…"?`, or nothing when none is near."""
    found = near_name(name, known)
    return f'; did you mean "{found}"?' if found else ""


def near_name(name: str, known: Iterable[str]) -> str:
    """The known name most like this one; empty when none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def problem(document: Document, model: type[BaseModel], error: ErrorDetails, under: Steps = ()) -> str:
    """One line for one pydantic error. What was written is not repeated: it might be a secret."""
    steps = (*under, *error["loc"])
    if error["type"] == "extra_forbidden":
        return unknown_key(document, _model_at(model, error["loc"][:-1]), steps)
    if error["type"] == "missing":
        return document.error(steps[:-1], f"{_dotted(steps)} is missing", key=True)
    return placed(document, steps, f"{_dotted(_real(document, steps))}: {_said(error)}", _said(error))


def placed(document: Document, steps: Steps, message: str, of_variable: str = "") -> str:
    """The message with the variable or the line that gave the value at `steps`; as it is where neither did.

    `of_variable` is what to say where a variable did (else the message): its name is told already.
    """
    variable = _variable(steps)
    if variable is not None:
        return f"{variable}: {of_variable or message}"
    return document.error(steps, message) if document.values else message


def _said(error: ErrorDetails) -> str:
    written = error["input"]
    if error["type"] == "literal_error" and isinstance(written, str) and len(written) <= LONGEST_SHOWN:
        known = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
        return f'unknown {error["loc"][-1]} "{written}"{nearest(written, known) or _there_are(known)}'
    if error["type"] in ("ip_v4_network", "ip_v6_network"):
        return _no_network(written)
    return _sentence(error["msg"].removeprefix("Value error, "))


def _there_are(known: Sequence[str]) -> str:
    return f"; there is only {known[0]}" if len(known) == 1 else f"; there are {', '.join(sorted(known))}"


def _no_network(written: object) -> str:
    """A union of both kinds of networks fails once a kind; both are told in the same words."""
    try:
        loose = ipaddress.ip_network(str(written), strict=False)
    except ValueError:
        return "this is no network; write one like 10.0.0.0/8 or fd00::/8"
    return f"host bits set; write {loose}"


def unknown_key(document: Document, model: type[BaseModel] | None, steps: Steps) -> str:
    """A line for the key at `steps`, which `model` does not know."""
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


def in_order(problems: Iterable[str]) -> list[str]:
    """By line; those without one first. What is told twice in the same words is told once."""

    def line(problem: str) -> int:
        parts = problem.split(":", 2)
        return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0

    return sorted(dict.fromkeys(problems), key=line)
