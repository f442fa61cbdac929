"""The archive: the database and the store that belong together, opened from the settings."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from miniscope_core.settings import Settings
from miniscope_core.storage.database import Database
from miniscope_core.storage.store import Store


@dataclass(frozen=True)
class Archive:
    """Database and store of one installation; a context manager that closes the database's connections."""

    settings: Settings
    database: Database
    store: Store

    @classmethod
    def open(cls, settings: Settings | None = None, *, create: bool = True) -> Self:
        """Open what the settings name.

        Parameters
        ----------
        settings
            Default: from the environment.
        create
            Make or update the schema where needed; otherwise its absence is an error, and nothing is written.

        Raises
        ------
        DatabaseError
            When the database is away, read-only or of another version.
        StoreError
            When the address of the store makes no sense.
        """
        settings = settings or Settings()
        store = Store(settings.store_url, settings.store_options)
        database = Database(settings.database_url)
        try:
            if create:
                database.upgrade()
            else:
                database.check(writable=False)
        except BaseException:
            database.close()
            raise
        return cls(settings, database, store)

    def close(self) -> None:
        """Close the connections of the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
