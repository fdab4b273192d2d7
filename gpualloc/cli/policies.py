"""`gpualloc policies`: the policies that can decide."""

from __future__ import annotations

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.policies.catalog import listed
from gpualloc.views.policies import policies_data, policies_text

app = shared.verb_app()


@app.command()
def policies() -> Answer:
    """List the installed policies, plug-ins included; none of them is run for it."""
    found = listed()
    return Answer(policies_data(found), lambda look: policies_text(found, look))
