"""The command that cleans up: ``gc``."""

from datetime import timedelta
from typing import Annotated

import typer

from miniscope_core.cli.app import app, common
from miniscope_core.cli.console import out


@app.command()
def gc(
    context: typer.Context,
    older_than_hours: Annotated[
        float, typer.Option(min=0, help="Spare what was written since: a run may be about to publish it.")
    ] = 24.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; otherwise it is only listed.")] = False,
) -> None:
    """Find what crashes left in the store and in the scratch folder: no row names it."""
    from miniscope_core.pipeline.collect import collect_garbage
    from miniscope_core.storage.archive import Archive

    shared = common(context)
    with Archive.open(shared.settings, create=False) as archive:
        found = collect_garbage(archive, timedelta(hours=older_than_hours), dry_run=not delete)
        where = f"database {archive.database.url}, store {archive.store.url}"
    out.print(f"In {where}:", highlight=False, soft_wrap=True, markup=False)
    for item in found:
        out.print(f"{'removed' if delete else 'found'} {item}", highlight=False, soft_wrap=True, markup=False)
    if found and not delete:
        out.print("Nothing was removed: add --delete.")
    elif not found:
        out.print(f"Nothing older than {older_than_hours:g} h to clean up; --older-than-hours spares less.")
