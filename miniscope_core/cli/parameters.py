"""Engine parameters on the command line: how they are given, and the command ``parameters`` that lists them."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from miniscope_core.cli.app import app
from miniscope_core.cli.console import print_frame
from miniscope_core.errors import ParameterError

if TYPE_CHECKING:
    from miniscope_core.models.parameters import Parameters

Method = Annotated[str, typer.Option(help="Engine: cnmfe is built in; caiman drives a CaImAn that is installed.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An engine parameter; may be repeated.")
]
Clean = Annotated[
    list[str] | None,
    typer.Option(
        "--clean",
        metavar="STEP",
        help="Clean the movie first: hot_pixels, stripes, flicker, glow, find_broken, binning=N or "
        "crop=TOP,LEFT,HEIGHT,WIDTH; may be repeated, or joined by +.",
    ),
]
_GROUPS: Final = {"everyday": "Everyday", "expert": "Expert: the defaults serve well"}


def parameters_from(method: str, assignments: list[str] | None, steps: list[str] | None = None) -> "Parameters":
    """Make typed parameters from ``NAME=VALUE`` texts, values read as JSON where they are, and steps of cleaning.

    Raises
    ------
    ParameterError
        When a text is no assignment, or a name or value is refused.
    """
    from miniscope_core.models.cleaning import Cleaning
    from miniscope_core.pipeline.engines import validate_parameters

    cleaning = Cleaning.parse(steps or [])
    values: dict[str, Any] = {} if cleaning is None else {"cleaning": cleaning.model_dump()}
    for assignment in assignments or []:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ParameterError(f"--set {assignment}: expected NAME=VALUE, e.g. --set cell_diameter_px=12.")
        try:
            values[name.strip()] = json.loads(text)
        except json.JSONDecodeError:
            values[name.strip()] = text
    return validate_parameters(method, values)


@app.command()
def parameters(method: Method = "cnmfe") -> None:
    """List the parameters of an engine: name, default, bounds and meaning; everyday ones first."""
    import pandas as pd

    from miniscope_core.pipeline.engines import describe_parameters

    rows = pd.DataFrame(describe_parameters(method))
    for group, title in _GROUPS.items():
        chosen = rows[rows["group"] == group]
        if len(chosen):
            print_frame(chosen, title, columns=["name", "default", "bounds", "meaning"])
