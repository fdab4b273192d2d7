"""`gpualloc policies`: the policies that can decide."""

from __future__ import annotations

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.errors import GpuallocError
from gpualloc.policies import registry
from gpualloc.views.policies import PolicyFound, policies_data, policies_text

app = shared.verb_app()


@app.command()
def policies() -> Answer:
    """List the installed policies; a plug-in that cannot be loaded is listed with what is wrong with it."""
    found, errors = [], []
    for name in registry.names():
        try:
            policy = registry.load(name)
        except GpuallocError as error:
            errors.append(error)
            found.append(PolicyFound(name, None, error.message))
        else:
            found.append(PolicyFound(name, policy.version, (type(policy).__doc__ or "").partition("\n")[0]))
    return Answer(policies_data(found), lambda look: policies_text(found, look), errors=tuple(errors))
