"""Settings: what is wrong in a file is told with the file, the key and what was expected."""

from pathlib import Path

import pytest

from openldn.base.errors import LdnError
from openldn.base.settings import Settings, load


class Example(Settings, frozen=True):
    name: str
    folder: Path
    port: int = 8443
    patience: float = 10.0


GOOD = 'name = "Het Plein"\nfolder = "/srv"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_becomes_values_with_defaults(tmp_path: Path) -> None:
    values = load(written(tmp_path, GOOD), Example, {})

    assert values == Example(name="Het Plein", folder=Path("/srv"))


def test_the_environment_replaces_a_key_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD + "port = 1\n")

    assert load(path, Example, {"OPENLDN_PORT": "9000"}).port == 9000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "prot = 1\n", "prot"),
        (GOOD + 'port = "many"\n', "$.port"),
        ('name = "x"\n', "folder"),
        ('name = "x"\nfolder = 7\n', "$.folder"),
        ('name = "x"\nfolder = ""\n', "$.folder"),
        ("name = \n", "not TOML"),
        ("", "name"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(LdnError) as refused:
        load(path, Example, {})

    assert told in refused.value.message
    assert str(path) in refused.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LdnError, match="No such file"):
        load(tmp_path / "absent.toml", Example, {})


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(LdnError, match="not TOML"):
        load(path, Example, {})
