"""Looking at the rule files: what is a change, and when it has come to rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.reload import Signature, Watch, signature_of
from tocsin.settings import Settings

CHANGES: dict[str, Callable[[Path], object]] = {
    "size": lambda folder: (folder / "rules" / "a.yml").write_text("longer"),
    "time": lambda folder: os.utime(folder / "rules" / "b.yaml", ns=(1, 1)),
    "deleted": lambda folder: (folder / "rules" / "sub" / "c.yml").unlink(),
    "new": lambda folder: (folder / "rules" / "new.yml").touch(),
    "renamed": lambda folder: (folder / "rules" / "a.yml").rename(folder / "rules" / "z.yml"),
    "one file": lambda folder: (folder / "one.yml").unlink(),
    "overlay": lambda folder: (folder / "overlay.yml").write_text("longer"),
    "list": lambda folder: (folder / "ips.txt").write_text("longer"),
    "geo": lambda folder: (folder / "geo.mmdb").write_text("longer"),
    "folder gone": lambda folder: (folder / "rules").rename(folder / "gone"),
}
NO_CHANGES: dict[str, Callable[[Path], object]] = {
    "no rule": lambda folder: (folder / "rules" / "notes.txt").write_text("longer"),
    "an editor's": lambda folder: (folder / "rules" / ".a.yml.swp").touch(),
    "hidden": lambda folder: (folder / "rules" / ".a.yml").touch(),
    "a folder": lambda folder: (folder / "rules" / "empty").mkdir(),
    "nothing": lambda folder: None,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    rules = tmp_path / "rules"
    (rules / "sub").mkdir(parents=True)
    for name in ("a.yml", "b.yaml", "sub/c.yml", "notes.txt"):
        (rules / name).write_text("x")
    for name in ("one.yml", "overlay.yml", "ips.txt", "geo.mmdb"):
        (tmp_path / name).write_text("x")
    return Settings(
        rules=[rules, tmp_path / "one.yml"],
        overlay=tmp_path / "overlay.yml",
        lists={"ips": tmp_path / "ips.txt"},
        geo=[tmp_path / "geo.mmdb"],
    )


@pytest.mark.parametrize(
    ("change", "differs"),
    [*((change, True) for change in CHANGES.values()), *((change, False) for change in NO_CHANGES.values())],
    ids=[*CHANGES, *NO_CHANGES],
)
def test_a_change_of_what_rules_are_made_of_is_seen_and_no_other(
    settings: Settings, tmp_path: Path, change: Callable[[Path], object], *, differs: bool
) -> None:
    before = signature_of(settings)

    change(tmp_path)

    assert signature_of(settings).differs(before) is differs


def test_a_file_put_in_place_of_another_of_the_same_size_and_time_is_seen(
    settings: Settings, tmp_path: Path
) -> None:
    path, other = tmp_path / "rules" / "a.yml", tmp_path / "other"
    before = signature_of(settings)

    other.write_text("y")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)

    assert signature_of(settings).differs(before)


def test_a_folder_that_cannot_be_listed_is_told_with_its_place(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signature_of(settings)
    shut, scandir = tmp_path / "rules" / "sub", os.scandir

    def guarded(path: str) -> object:
        if Path(path) == shut:
            raise PermissionError(13, "Permission denied", str(shut))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    after = signature_of(settings)

    assert after.differs(before)
    assert [str(error) for error in after.unreadable] == [
        f"{shut}:1:1: the folder cannot be read: Permission denied; check its permissions"
    ]


def test_a_link_to_nothing_is_told_and_not_taken_for_a_rule_that_was_removed(
    settings: Settings, tmp_path: Path
) -> None:
    link = tmp_path / "rules" / "a.yml"
    link.unlink()
    link.symlink_to(tmp_path / "nowhere.yml")

    (error,) = signature_of(settings).unreadable

    assert str(error).startswith(f"{link}:1:1: the file cannot be read")


def test_a_link_that_points_elsewhere_is_a_change(settings: Settings, tmp_path: Path) -> None:
    """As Kubernetes changes what is mounted of a ConfigMap."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "m.yml").write_text("x")
        os.utime(tmp_path / version / "m.yml", ns=(1, 1))
    current = tmp_path / "rules" / "..data"
    current.symlink_to(tmp_path / "one")
    (tmp_path / "rules" / "m.yml").symlink_to(Path("..data", "m.yml"))
    before = signature_of(settings)

    new = tmp_path / "rules" / "..new"
    new.symlink_to(tmp_path / "two")
    new.rename(current)

    assert signature_of(settings).differs(before)


class Disk:
    """Files that look as they are told to, and what was read of them last."""

    def __init__(self) -> None:
        self.look = self.tried = self.of(0)
        self.watch = Watch(lambda: self.look, lambda: self.tried)

    @staticmethod
    def of(state: int) -> Signature:
        return Signature(frozenset({("a.yml", state, 1, 1)}))

    def rests(self, *states: int) -> list[bool]:
        """Look once in each of these states; whether it was time to read. What was read is known."""
        answers = []
        for state in states:
            self.look = self.of(state)
            answers.append(self.watch.rested())
            if answers[-1]:
                self.tried = self.look
        return answers


@pytest.mark.parametrize(
    ("states", "read"),
    [
        ([0, 0, 0], []),
        ([1, 1, 1, 1], [1]),
        ([1, 2, 3, 4, 4, 4], [4]),  # a storm is one reload
        ([1, 0, 0, 0], []),  # taken back before anybody read it
        ([1, 1, 0, 0], [1, 3]),
        ([1, 1, 2, 2], [1, 3]),
    ],
    ids=["nothing", "once", "storm", "taken back", "undone", "twice"],
)
def test_a_change_is_read_once_and_when_two_looks_agree(states: list[int], read: list[int]) -> None:
    assert [place for place, rested in enumerate(Disk().rests(*states)) if rested] == read


def test_what_somebody_else_has_read_meanwhile_is_not_read_again() -> None:
    disk = Disk()
    disk.rests(1)
    disk.tried = disk.of(1)

    assert disk.rests(1, 1) == [False, False]
