from pathlib import Path

import pytest

from stemscribe.errors import UsageError
from stemscribe.settings import resolve


def settings(tmp_path: Path, flags: dict[str, object], environ: dict[str, str]):  # type: ignore[no-untyped-def]
    return resolve(flags, environ, root=tmp_path, models_dir=tmp_path / "models", venv_dir=tmp_path / "venv")


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path: Path) -> None:
    assert settings(tmp_path, {}, {}).out_dir == tmp_path / "out"
    (tmp_path / "stemscribe.toml").write_text('out_dir = "file"\noffline = true\n')
    assert settings(tmp_path, {"out_dir": None}, {}).out_dir == tmp_path / "file"
    assert settings(tmp_path, {}, {"STEMSCRIBE_OUT_DIR": "environment"}).out_dir == Path("environment")
    both = settings(tmp_path, {"out_dir": "flag"}, {"STEMSCRIBE_OUT_DIR": "environment"})
    assert both.out_dir == Path("flag")
    assert both.offline


def test_own_catalog_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    assert settings(tmp_path, {}, {}).catalog is None
    (tmp_path / "stemscribe.toml").write_text('catalog = "mine.toml"\n')
    assert settings(tmp_path, {}, {}).catalog == tmp_path / "mine.toml"
    assert settings(tmp_path, {}, {"STEMSCRIBE_CATALOG": "/other.toml"}).catalog == Path("/other.toml")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("0", False), ("False", False)])
def test_words_for_true_and_false(tmp_path: Path, text: str, value: bool) -> None:
    assert settings(tmp_path, {}, {"STEMSCRIBE_OFFLINE": text}).offline is value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("out_dir = 5", "Setting out_dir should be text in quotes, not 5"),
        ("out_dir = ", "is not valid TOML"),
        ("out_dir = " + "[" * 5000, "is not valid TOML: its values are nested too deeply"),
        (r'out_dir = "a\u0000b"', "Setting out_dir cannot be .*: it holds a NUL"),
        ('colour = "blue"', "has settings that do not exist: colour"),
    ],
)
def test_a_file_that_cannot_be_meant_is_said(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "stemscribe.toml").write_text(content)
    with pytest.raises(UsageError, match=said):
        settings(tmp_path, {}, {})


def test_a_value_that_cannot_be_meant_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Setting offline should be true or false, not 'perhaps'"):
        settings(tmp_path, {}, {"STEMSCRIBE_OFFLINE": "perhaps"})


def test_sizes_of_memory_come_from_anywhere(tmp_path: Path) -> None:
    assert settings(tmp_path, {}, {}).max_ram is None
    (tmp_path / "stemscribe.toml").write_text('max_ram = "1500M"\n')
    assert settings(tmp_path, {"max_ram": None}, {}).max_ram == 1_500_000_000
    assert settings(tmp_path, {}, {"STEMSCRIBE_MAX_RAM": "2GiB"}).max_ram == 2 * 1024**3
    assert settings(tmp_path, {"max_ram": "2G"}, {"STEMSCRIBE_MAX_RAM": "2GiB"}).max_ram == 2_000_000_000


@pytest.mark.parametrize("text", ["2", "", "0G", "-1G", "2X", "two gigabytes", "1e9G", "2G2", "²G"])
def test_what_is_no_size_is_said(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=f"Setting max_ram should be a size, not '{text}'"):
        settings(tmp_path, {"max_ram": text}, {})


@pytest.mark.parametrize("name", ["out_dir", "models_dir", "venv_dir", "catalog"])
@pytest.mark.parametrize(
    ("path", "reason"), [("~nobody-of-this-name/x", "home"), ("x\udcff", "it is not UTF-8"), ("x\0", "it holds a NUL")]
)
def test_paths_that_cannot_be_are_said(tmp_path: Path, name: str, path: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"Setting {name} cannot be .*{reason}.*") as caught:
        settings(tmp_path, {name: path}, {})
    assert caught.value.message.isprintable()
