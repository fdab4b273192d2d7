"""`gpualloc policies`: the policies that can decide."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.errors import GpuallocError
from gpualloc.policies.catalog import listed
from gpualloc.views.policies import policies_data, policies_text
from gpualloc.views.profiles import ProfileFound, profiles_data, profiles_text

app = shared.verb_app()


@app.command()
def policies(ctx: typer.Context) -> Answer:
    """List the installed policies, plug-ins included, none of which is run for it, and the saved profiles."""
    found = listed()
    saved, broken = _profiles(ctx)
    return Answer(
        {**policies_data(found), "profiles": profiles_data(saved)},
        lambda look: "\n\n".join([policies_text(found, look), *([profiles_text(saved, look)] if saved else [])]),
        errors=tuple(broken),
    )


def _profiles(ctx: typer.Context) -> tuple[list[ProfileFound], list[GpuallocError]]:
    """The saved profiles, and what is wrong with those that cannot be read."""
    from gpualloc.wiring import saved_profiles

    saved = saved_profiles(shared.options(ctx))
    found, broken = [], []
    for name in saved.names():
        try:
            found.append(ProfileFound(name, saved.read(name)))
        except GpuallocError as error:
            broken.append(error)
            found.append(ProfileFound(name, None))
    return found, broken
