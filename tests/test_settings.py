"""Settings: from the environment, with defaults below one folder, whatever characters it has."""

import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from miniscope_core.settings import Settings
from miniscope_core.storage.archive import Archive


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MINISCOPE_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["plain", "with blank", "wh?at=1", "p%20c", "mäuse", "a#b", "[1]*", "50%"])
def test_everything_lies_below_home_whatever_its_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    with Archive.open(Settings(home=home)) as archive:
        assert archive.database.path == home / "miniscope.db"
        archive.store.check()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert {path.name for path in home.iterdir()} >= {"miniscope.db", "store"}


def test_home_with_two_colons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="without '::'"):
        Settings(home=tmp_path / "a::b")


def test_raw_roots_are_a_json_list_or_joined_as_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = [tmp_path / "a", tmp_path / "b c"]
    for text in (json.dumps([str(root) for root in roots]), os.pathsep.join(map(str, roots))):
        monkeypatch.setenv("MINISCOPE_RAW_ROOTS", text)
        assert Settings().raw_roots == roots


def test_empty_variables_are_as_good_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Settings()
    for name in ("HOME", "DATABASE_URL", "STORE_URL", "STORE_OPTIONS", "RAW_ROOTS", "SCRATCH_DIR", "WORKERS"):
        monkeypatch.setenv(f"MINISCOPE_{name}", "")
    assert Settings() == expected


@pytest.mark.parametrize(("name", "text"), [("STORE_OPTIONS", "{no json"), ("RAW_ROOTS", "[no json")])
def test_what_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"MINISCOPE_{name}", text)
    with pytest.raises(ValidationError, match="expected JSON"):
        Settings()
