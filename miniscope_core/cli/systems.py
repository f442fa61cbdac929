"""Commands about the installation: ``doctor`` and ``serve``."""

import os
import shutil
import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer
from rich.markup import escape

from miniscope_core.cli.app import Common, app, common
from miniscope_core.cli.console import out
from miniscope_core.errors import MiniscopeError, StoreError
from miniscope_core.settings import GIB, Settings

_LITTLE_SPACE: Final = 10 * GIB


@app.command()
def doctor(context: typer.Context) -> None:
    """Check the installation: packages, database, store, scratch space, raw roots, Prefect, CaImAn and its impostor."""
    settings = common(context).settings
    checks: dict[str, Callable[[Settings], str]] = {
        "python": lambda _: sys.version.split()[0],
        "packages": _packages,
        "database": _database,
        "store": _store,
        "scratch": _scratch,
        "raw roots": _raw_roots,
        "cache": _cache,
        "prefect": _prefect,
        "caiman": _caiman,
    }
    failures = 0
    for name, check in checks.items():
        try:
            text, mark = check(settings), "[green]ok[/]  "
        except MiniscopeError as error:
            text, mark = str(error), "[red]FAIL[/]"
            failures += 1
        out.print(f"{mark} [bold]{name:<10}[/] {escape(text)}", highlight=False, soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def _packages(settings: Settings) -> str:
    from miniscope_core.pipeline.provenance import package_versions

    return ", ".join(f"{name} {version}" for name, version in package_versions().items())


def _database(settings: Settings) -> str:
    from miniscope_core.storage.database import Database

    with Database(settings.database_url) as database:
        if database.path is not None and not database.path.exists():
            return f"{database.url}: not there yet, the first ingestion makes it"
        database.check()
        return f"{database.url}: reachable, writable, schema up to date"


def _store(settings: Settings) -> str:
    from miniscope_core.storage.store import Store

    store = Store(settings.store_url, settings.store_options)
    store.check()
    return f"{store.url}: an object was written, read back and removed"


def _scratch(settings: Settings) -> str:
    existing = next(path for path in (settings.scratch_dir, *settings.scratch_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        raise StoreError(f"Scratch folder {settings.scratch_dir} cannot be written. Set MINISCOPE_SCRATCH_DIR.")
    free = shutil.disk_usage(existing).free
    hint = "" if free > _LITTLE_SPACE else "; a long recording may need more: set MINISCOPE_SCRATCH_DIR"
    return f"{settings.scratch_dir}: {free / GIB:.0f} GiB free{hint}"


def _raw_roots(settings: Settings) -> str:
    from miniscope_core.remote import RemoteFiles

    remote = RemoteFiles.of(settings)
    missing = [str(root) for root in settings.raw_roots if not remote.exists(root)]
    if missing:
        raise StoreError(f"Raw roots are not there: {', '.join(missing)}. Correct MINISCOPE_RAW_ROOTS.")
    return ", ".join(map(str, settings.raw_roots)) or "none set: recordings are named by their absolute folders"


def _cache(settings: Settings) -> str:
    from miniscope_core.remote import RemoteFiles

    copies = RemoteFiles.of(settings).cache.copies()
    nbytes = sum(copy.nbytes for copy in copies.values())
    return (
        f"{settings.cache_dir}: {len(copies)} copies of remote files, {nbytes / GIB:.1f} of "
        f"{settings.cache_limit / GIB:.1f} GiB"
    )


def _prefect(settings: Settings) -> str:
    from flows.health import describe_server

    return describe_server()


def _caiman(settings: Settings) -> str:
    """Check the Python that CaImAn is in; that there is none is no failure where none was named."""
    from miniscope_core.engines.caiman.chain import examine

    chain = examine(settings.caiman_python)
    if not settings.caiman_python and "caiman" not in chain.versions and not chain.genuine:
        return "not installed here (the built-in engine needs none); for CaImAn see deployments/caiman.md"
    chain.refuse()
    return chain.describe()


@app.command()
def serve(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Flow runs at once.")] = 1,
    cron: Annotated[str, typer.Option(help="When process-pending runs.")] = "0 2 * * *",
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "UTC",
    page: Annotated[bool, typer.Option(help="Serve the curation page too, on this machine only.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the curation page.")] = 8711,
) -> None:
    """Serve the flows as deployments to a Prefect server (PREFECT_API_URL), and the curation page, until interrupted.

    What is pending is processed by --cron; every five minutes runs go on whose review was answered or is overdue.
    """
    shared: Common = common(context)
    settings = shared.settings
    from flows.health import find_server
    from flows.serve import serve_all

    find_server()  # one line now, before anything listens
    if page:
        _serve_page(settings, port)
    serve_all(limit=limit, cron=cron, timezone=timezone)


def _serve_page(settings: Settings, port: int) -> None:
    """Serve the curation page beside the flows; pages of runs link to it unless another address is set."""
    from miniscope_core.cli.curating import curator_name, follow
    from miniscope_core.storage.archive import Archive
    from miniscope_core.web import serve_in_background

    Archive.open(settings).close()  # a first start makes the database
    address = serve_in_background(
        settings, curator=curator_name(None), port=port, on_submit=lambda curated: follow(settings, curated)
    )
    out.print(f"Curation page: {address}", highlight=False, soft_wrap=True, markup=False)
    os.environ.setdefault("MINISCOPE_PAGE_URL", address.rstrip("/"))
