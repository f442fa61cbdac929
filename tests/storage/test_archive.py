"""The archive: database and store of one installation, opened together."""

from pathlib import Path

import pytest

from miniscope_core.errors import DatabaseError, StoreError
from miniscope_core.storage.archive import Archive
from tests.archives import settings_for


def test_new_installation_is_made_below_its_home(tmp_path: Path) -> None:
    home = tmp_path / "a home" / "that is new"
    with Archive.open(settings_for(home)) as archive:
        archive.database.check()
        archive.store.check()
    assert (home / "miniscope.db").is_file()


def test_nothing_is_made_where_nothing_is_and_only_a_look_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="ingest a recording first"):
        Archive.open(settings_for(tmp_path / "home"), create=False)
    assert list(tmp_path.iterdir()) == []


def test_what_was_made_is_opened_again(tmp_path: Path) -> None:
    Archive.open(settings_for(tmp_path)).close()
    with Archive.open(settings_for(tmp_path), create=False) as archive:
        archive.database.check()


def test_settings_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINISCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINISCOPE_STORE_URL", str(tmp_path / "elsewhere"))
    with Archive.open() as archive:
        assert archive.store.url == str(tmp_path / "elsewhere")
        assert archive.database.path == tmp_path / "home" / "miniscope.db"


def test_unknown_kind_of_store_is_one_clear_line_and_makes_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="gopher") as caught:
        Archive.open(settings_for(tmp_path / "home", store_url="gopher://somewhere"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_connections_are_closed_when_the_schema_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[object] = []
    monkeypatch.setattr("miniscope_core.storage.database.Database.close", lambda self: closed.append(self))
    (tmp_path / "miniscope.db").write_text("this is no database, and long enough to be told from an empty one" * 20)
    with pytest.raises(DatabaseError, match="not a database"):
        Archive.open(settings_for(tmp_path))
    assert len(closed) == 1
