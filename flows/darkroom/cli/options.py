"""Options that several commands take. Imports nothing that is slow to start."""

from pathlib import Path

import click

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
in_repo = click.option(
    "--repo",
    type=click.Path(path_type=Path),
    default=Path(),
    metavar="FOLDER",
    help="A folder in the DVC repository; default: the current one.",
)
