"""Which files of a folder are rules, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tocsin.rules.load import load

RULE = "title: {0}\nname: {0}\nlogsource: {{product: auth0}}\ndetection: {{s: {{type: fp}}, condition: s}}\n"


def write(folder: Path, *names: str) -> None:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(RULE.format(name))


def found(*paths: Path) -> list[str]:
    """The rules' names: where their files were written."""
    return [doc.meta.name for doc in load(paths).docs]


def test_folders_are_read_to_the_bottom_in_the_order_of_their_parts(tmp_path: Path) -> None:
    write(tmp_path, "b.yml", "a/z.yaml", "a-b/x.yml", "a/b/c.yml", "B.yml", "x.yml/within.yml", ".git/y.yml")

    assert found(tmp_path) == [
        ".git/y.yml", "B.yml", "a/b/c.yml", "a/z.yaml", "a-b/x.yml", "b.yml", "x.yml/within.yml",
    ]  # fmt: skip


@pytest.mark.parametrize("name", [".hidden.yml", "rule.YML", "rule.yml~", "rule.txt", "yml"])
def test_other_files_are_left_out(tmp_path: Path, name: str) -> None:
    write(tmp_path, "rule.yml", name)

    assert found(tmp_path) == ["rule.yml"]


def test_a_file_is_read_once_whatever_leads_to_it(tmp_path: Path) -> None:
    write(tmp_path, "folder/rule.yml", "elsewhere/other.yml")
    (tmp_path / "folder/link.yml").symlink_to(tmp_path / "folder/rule.yml")
    (tmp_path / "folder/other.yml").symlink_to(tmp_path / "elsewhere/other.yml")
    (tmp_path / "way").symlink_to(tmp_path / "folder")

    within = found(
        tmp_path / "folder", tmp_path / "way", tmp_path / "folder/rule.yml", tmp_path / "elsewhere"
    )

    assert within == ["folder/rule.yml", "elsewhere/other.yml"]


def test_links_to_nowhere_pipes_and_linked_folders_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "folder/rule.yml", "elsewhere/other.yml")
    (tmp_path / "folder/nowhere.yml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder/circle.yml").symlink_to("circle.yml")
    (tmp_path / "folder/linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "folder/pipe.yml")

    assert found(tmp_path / "folder") == ["folder/rule.yml"]
