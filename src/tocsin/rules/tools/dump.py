"""Plain data as YAML that both YAML 1.1 tools and our own reader read as the same data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from tocsin.rules.document import Scalar
from tocsin.rules.problems import Mark

_NOWHERE = Mark(1, 1)


class _Dumper(yaml.SafeDumper):
    """No aliases, which our reader refuses; lists indented below their key, as rules are written."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quoted where YAML 1.2 reads more than text in it (`1e3`, `0o17`); PyYAML knows what 1.1 does."""
    is_text = isinstance(Scalar(text, _NOWHERE, plain=True).value, str)
    plain_style = "|" if "\n" in text.rstrip("\n") else ">" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=plain_style if is_text else "'")


_Dumper.add_representer(str, _text)


def yaml_of(documents: Sequence[object]) -> str:
    """The documents, `---` between them."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, indent=4, width=110)
