"""The YAML itself: what is refused, and where it is said to stand."""

from __future__ import annotations

import time

import pytest

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config import load_config
from dask_gmm.run.config.document import plain_scalar

BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def refusal(path):
    with pytest.raises(ConfigurationError) as caught:
        load_config(path)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ":1:1: found an empty file; start from one of the files in configs/"),
        ("# only a comment\n", ":1:1: found an empty file; "),
        ("- 1\n", ":1:1: found no mapping at the top; write `key: value` lines"),
        ("version: 1\nmodel:\n\tn_init: 1\n", ":3:1: found a tab; replace it by spaces"),
        ("version: 1\n---\nversion: 1\n", ":2:1: found a second document; "),
        ("%YAML 1.1\n---\nversion: 1\n", ":2:1: found another version of YAML; "),
        ("version: 1\nfit: {a: 1\n", "; close the bracket or brace"),
        ("name: 'x\n", "; close the quotes"),
        ("name: a: b\n", ":1:8: mapping values are not allowed here; put the value in quotes"),
        ("name: {a: ${X}}\n", ":1:12: "),
        ("name: @x\n", ":1:7: while scanning"),
        ("name: !!python/object:os.system x\n", ":1:7: found a tag (!); "),
        ("name: !!int 3\n", ":1:7: found a tag (!); "),
        ("!x name: 3\n", ":1:1: found a tag (!); "),
        ("1: x\n", ":1:1: found a key that is not a string; "),
        ("? [a]\n: x\n", ":1:3: found a key that is not a string; "),
        ("source:\n  path: *x\n", ":2:9: found an anchor or alias (& or *); "),
        ("a: &x 1\n", ":1:4: found an anchor or alias (& or *); write the value out"),
        (BOMB, ":1:4: found an anchor or alias (& or *); "),
        ("x: \x07", ":1:4: found a control character; remove it"),
        ('x: "\\UFFFFFFFF"', "; correct it"),
        ('x: "\\ud800"', ":1:4: found half of a surrogate pair; "),
        ("fit: " + "[" * 40, ":1:26: found more than 20 levels of nesting; "),
        ("fit: [" + "1, " * 30_000 + "]", "found more than 20000 values; "),
    ],
)
def test_what_is_not_a_configuration_is_refused_with_its_place(tmp_path, text, expected):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    assert expected in refusal(path)


def test_a_duplicate_key_names_both_lines(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("version: 1\nmodel:\n  n_init: 1\n  tol: auto\n  n_init: 2\n")
    assert refusal(path) == (
        ":5:3: model.n_init: found the key twice, first given in line 3; remove one of the two"
    )


def test_bytes_that_are_not_utf8_are_placed(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes("version: 1\nname: é".encode() + b"\xe9\n")
    assert refusal(path) == ":2:8: found bytes that are not UTF-8; save it as UTF-8"


def test_a_huge_file_is_refused_quickly(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"- 1\n" * 1_000_000)
    started = time.perf_counter()
    assert refusal(path).startswith(":1:1: found more than 1048576 bytes; ")
    assert time.perf_counter() - started < 1


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "blue-marble.yaml").write_text("version: 1")
    near = tmp_path / "blue-marbel.yaml"
    assert refusal(near) == f": found no such file; did you mean {tmp_path / 'blue-marble.yaml'}?"
    assert refusal(tmp_path / "q") == ": found no such file; correct the path"
    assert refusal(tmp_path) == ": found a directory; give the YAML file itself"
    below = tmp_path / "blue-marble.yaml" / "x"
    assert refusal(below).startswith(": cannot be read (Not a directory); correct the path")
    assert refusal("a\0b").startswith(": cannot be read (embedded null")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("1e-3", 1e-3),
        ("-12", -12),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("true", True),
        ("Null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("2026-11-23", "2026-11-23"),
        ("12:30:00", "12:30:00"),
        ("1e5x", "1e5x"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text, meaning):
    value = plain_scalar(text)
    assert value == meaning
    assert type(value) is type(meaning)
