from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import ConfigError
from tocsin.settings import load_document, parse_document
from tocsin.settings.document import MAX_BYTES, MAX_DEPTH

TEXT = """\
a: 1
b:
  - x
  - {c: yes, d: "2"}
"""


def test_it_is_plain_data() -> None:
    assert parse_document(TEXT, "f.yml").data == {"a": 1, "b": ["x", {"c": "yes", "d": "2"}]}


@pytest.mark.parametrize(
    ("steps", "key", "place"),
    [
        (("a",), True, (1, 1)),
        (("a",), False, (1, 4)),
        (("b", 0), False, (3, 5)),
        (("b", 1, "d"), True, (4, 14)),
        (("b", 1, "d"), False, (4, 17)),
        (("b", "a union member", 1, "d"), False, (4, 17)),
        (("b", 1, "gone"), False, (4, 5)),
        ((), False, (1, 1)),
    ],
)
def test_everything_has_a_place(steps: tuple[str | int, ...], key: bool, place: tuple[int, int]) -> None:
    assert parse_document(TEXT, "f.yml").place(steps, key=key) == place


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("9" * 5000, "9" * 5000),
        ("=", "="),
        (".nan", ".nan"),
        ("true", True),
        ("'true'", "true"),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("|\n  7", "7"),
    ],
)
def test_a_value_is_what_it_looks_like(written: str, value: object) -> None:
    found = parse_document(f"k: {written}", "f.yml").data["k"]

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", r'^f\.yml:3: duplicate key "a", first on line 1$'),
        ("a: &x 1\nb: *x", r"^f\.yml:1: .*anchors and aliases"),
        ("a:\n  b: *x", r"^f\.yml:2: .*anchors and aliases"),
        ("a: 1\nb: !!python/object/apply:os.system [id]", r"^f\.yml:2: .*tags"),
        ("a: !env X", r"^f\.yml:1: .*tags"),
        ("a: 1\n---\nb: 2", r"^f\.yml:2: not valid YAML"),
        ("a: [1\nb: 2", r"^f\.yml:2: not valid YAML"),
        ("a: 1\n\tb: 2", r"^f\.yml:2: not valid YAML"),
        ("a: 1\nb: \x07", r"^f\.yml:2: a character that YAML does not allow"),
        ("? [a, b]\n: 1", r"^f\.yml:1: a key must be text"),
        ("[" * 5000, r"^f\.yml:1: .*nested deeper than 64"),
        ("- " * 5000, r"^f\.yml:1: .*nested deeper than 64"),
        ("{a: " * 70, r"^f\.yml:1: .*nested deeper than 64"),
    ],
)
def test_what_is_not_allowed_has_a_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_document(text, "f.yml")


def test_an_alias_bomb_is_refused_at_its_first_anchor() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 7)]

    with pytest.raises(ConfigError, match=r"^f\.yml:1: .*anchors"):
        parse_document("\n".join(lines), "f.yml")


def test_all_duplicate_keys_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document("a: 1\na: 2\nb: {c: 1, c: 2}", "f.yml")

    assert len(str(caught.value).splitlines()) == 2


def test_the_deepest_allowed_is_read() -> None:
    assert parse_document("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.yml").data is not None


def test_an_empty_file_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yml"
    path.write_bytes(b"\xef\xbb\xbf# only a comment\n")

    assert load_document(path).data is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: 1\nb: \xff", r":2: this is not UTF-8"), (b"#" * (MAX_BYTES + 1), "larger than 1 MB")],
)
def test_what_cannot_be_read_names_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.yml"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=message) as caught:
        load_document(path, shown="tocsin.yml")
    assert str(caught.value).startswith("tocsin.yml:")


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_document(tmp_path / "none.yml")


@given(st.text(alphabet=st.sampled_from("ab:-{}[],&*!|>'\"#%@`?~ \n\t\\\x00é\ud800\U0001f600"), max_size=60))
def test_any_text_is_data_or_a_config_error(text: str) -> None:
    try:
        parse_document(text, "f.yml")
    except ConfigError as exc:
        assert str(exc).startswith("f.yml:")  # noqa: PT017 - most texts are fine
