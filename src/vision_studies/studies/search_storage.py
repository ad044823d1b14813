"""Where a search keeps its trials, and how its processes keep out of each other's way.

A journal file and file locks serve one machine, or several with a shared folder. PostgreSQL serves any number of machines: its
advisory locks belong to a connection and so end, as file locks do, with the process that holds them.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import optuna
from filelock import FileLock, Timeout
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from vision_studies.errors import MissingDependencyError, StorageError

Release = Callable[[], None]

JOURNAL = "journal.log"

_CONNECTION = {
    "connect_timeout": 10,  # seconds
    # A machine that vanishes does not close its connection: the server learns of it within a minute or so.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}


class SearchLocks(Protocol):
    """Locks that end with the process that holds them."""

    def claim(self) -> AbstractContextManager[Any]:
        """Held while trials are looked at and begun; waits for whoever holds it."""

    def take(self, number: int) -> Release | None:
        """Work on a trial (numbered from 0); None where somebody does already."""


class FileLocks:
    """Locks on files in a folder that all processes share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._claim = FileLock(folder / "claim.lock")

    def claim(self) -> AbstractContextManager[Any]:
        """See `SearchLocks`."""
        return self._claim

    def take(self, number: int) -> Release | None:
        """See `SearchLocks`."""
        lock = FileLock(self._folder / f"trial_{number + 1}.lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            return None
        return lock.release


class AdvisoryLocks:
    """Advisory locks of a PostgreSQL server, held by one connection that lasts as long as this object.

    Args:
        connection: in autocommit mode.
        name: of the search.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._taken: set[int] = set()

    @contextmanager
    def claim(self) -> Iterator[None]:
        """See `SearchLocks`."""
        self._ask("pg_advisory_lock", "claim")
        try:
            yield
        finally:
            self._ask("pg_advisory_unlock", "claim")

    def take(self, number: int) -> Release | None:
        """See `SearchLocks`."""
        # A connection is given a lock that it has as often as it asks for it.
        if number in self._taken or not self._ask("pg_try_advisory_lock", f"trial {number}"):
            return None
        self._taken.add(number)

        def release() -> None:
            self._taken.discard(number)
            self._ask("pg_advisory_unlock", f"trial {number}")

        return release

    def _ask(self, function: str, what: str) -> Any:
        key = int.from_bytes(hashlib.sha256(f"{self._name}/{what}".encode()).digest()[:8], signed=True)
        return self._connection.execute(text(f"SELECT {function}(:key)"), {"key": key}).scalar()


def open_storage(url: str | None, name: str, folder: Path) -> tuple[optuna.storages.BaseStorage, SearchLocks]:
    """Trials and locks of a search.

    Args:
        url: of a database; None for a journal in `folder`.
        name: of the search.
        folder: of the journal and of file locks.

    Raises:
        StorageError: the database cannot be reached.
        MissingDependencyError: its driver is not installed.
    """
    if url is None:
        # Ends with the process that holds it, where Optuna's own lock would outlive a kill. Optuna's base class of locks is
        # private to it; `acquire` and `release` are all that it asks for.
        lock: Any = FileLock(folder / "journal.lock")
        backend = JournalFileBackend(str(folder / JOURNAL), lock_obj=lock)
        return optuna.storages.JournalStorage(backend), FileLocks(folder)
    address = make_url(url)
    if address.get_backend_name() != "postgresql":
        with database_errors(url):
            return optuna.storages.RDBStorage(url), FileLocks(folder)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    with database_errors(url):
        connection = _connect(address)
        locks = AdvisoryLocks(connection, name)
        # Processes that begin together would create the tables together, which ends one of them.
        with AdvisoryLocks(connection, "tables").claim():
            shown = address.render_as_string(hide_password=False)
            storage = optuna.storages.RDBStorage(shown, engine_kwargs={"connect_args": _CONNECTION})
        return storage, locks


@contextmanager
def database_errors(url: str | None) -> Iterator[None]:
    """Tell in one sentence that a database cannot be reached, or can no longer be.

    Raises:
        StorageError: instead of the driver's own errors.
    """
    try:
        yield
    except (OperationalError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = str(getattr(cause, "orig", None) or cause or error).strip().splitlines()[0]
        where = make_url(url).render_as_string() if url else "the journal"
        raise StorageError(
            f"The trials of the search are kept in {where}, which cannot be reached ({reason}); start the server or change "
            "search.storage, and run the same command again: trials that have ended are kept."
        ) from error


def _connect(address: URL) -> Connection:
    try:
        engine = create_engine(address, poolclass=NullPool, connect_args=_CONNECTION, isolation_level="AUTOCOMMIT")
    except ImportError as error:
        raise MissingDependencyError(
            f"search.storage names a PostgreSQL server, but its driver {error.name} is not installed; run "
            "`pip install vision-studies[postgresql]`."
        ) from error
    return engine.connect()
