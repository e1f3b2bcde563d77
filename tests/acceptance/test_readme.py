"""The pages hold what they say: examples run, tables name every option, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from tocsin.cli.config import check_config
from tocsin.delivery.channels import CHANNELS
from tocsin.settings import Heartbeat, Retention, Settings, SourceSettings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "rules/README.md"]


class Example(NamedTuple):
    """A command, and the lines that must come of it; `…` stands for anything, in a line or for lines."""

    command: str
    expected: list[str]


def examples(text: str) -> Iterator[list[Example]]:
    """The `console` blocks; the commands of one share a folder."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found: list[Example] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Example(line.removeprefix("$ "), []))
            else:
                found[-1].expected.append(line)
        yield found


BLOCKS = [(page, block) for page in PAGES for block in examples(page.read_text("utf-8"))]


def as_pattern(expected: list[str]) -> str:
    lines = [
        "(?:[^\n]*\n)*?" if line == "…" else re.escape(line).replace("…", "[^\n]*") + "\n"
        for line in expected
    ]
    return "".join(lines)


@pytest.mark.parametrize(
    ("page", "block"), BLOCKS, ids=[f"{page.name}: {block[0].command[:40]}" for page, block in BLOCKS]
)
def test_an_example_says_what_the_page_says(page: Path, block: list[Example], tmp_path: Path) -> None:
    for name in ("rules", "alerts", "src"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

    for command, expected in block:
        done = subprocess.run(
            command,
            shell=True,
            cwd=tmp_path,
            env={"PATH": path, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        shown = done.stdout + done.stderr
        assert done.returncode == 0, shown
        assert re.fullmatch(as_pattern(expected), shown), f"$ {command}\n{shown}"


def test_the_settings_of_your_own_tenant_pass_the_check(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml\n(listen: .*?)^```$", README, re.MULTILINE | re.DOTALL)
    config = tmp_path / "tocsin.yml"
    config.write_text(text, "utf-8")

    assert check_config(config).errors == []


def test_there_are_examples() -> None:
    assert {command.split()[1] for _, block in BLOCKS for command, _ in block} >= {
        "--version", "init", "config", "replay", "rules", "events",
    }  # fmt: skip


def options_of(first_column: str) -> set[str]:
    """What stands in the first cells of the table with this heading."""
    table = README.partition(f"| {first_column} |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize(("table", "model"), [("option", Settings), ("of a source", SourceSettings)])
def test_the_tables_name_every_option_and_no_other(table: str, model: type[BaseModel]) -> None:
    assert options_of(table) == set(model.model_fields)


@pytest.mark.parametrize(("option", "model"), [("heartbeat", Heartbeat), ("retention", Retention)])
def test_an_options_own_keys_are_named(option: str, model: type[BaseModel]) -> None:
    row = re.search(rf"^\| `{option}` \|.*$", README, re.MULTILINE)

    assert row is not None
    assert all(key in row[0] for key in model.model_fields)


@pytest.mark.parametrize("channel", CHANNELS)
def test_the_channels_table_names_every_key_and_no_other(channel: str) -> None:
    row = re.search(rf"^\| `{channel}` \| (.*) \|$", README, re.MULTILINE)
    config = CHANNELS[channel].Config

    assert row is not None
    # A default stands in brackets behind its key.
    keys = set(re.findall(r"`(\w+)`", re.sub(r"\([^()]*\)", "", re.sub(r"\[([^]]*)\]\([^)]*\)", "", row[1]))))
    assert keys == set(config.model_fields) - {"type"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text("utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_readme_names_every_make_target_but_help() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {"help"}

    assert [target for target in sorted(targets) if f"make {target}" not in README] == []


def test_every_metric_in_the_pages_exists() -> None:
    from tocsin.telemetry import REGISTRY

    known = {sample.name for metric in REGISTRY.collect() for sample in metric.samples}
    known |= {f"{metric.name}_total" for metric in REGISTRY.collect()} | {m.name for m in REGISTRY.collect()}
    named = {name for page in PAGES for name in re.findall(r"`(tocsin_\w+)", page.read_text("utf-8"))}

    assert named - known == set()
