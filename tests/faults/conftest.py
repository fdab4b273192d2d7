"""What dies at a named point."""

import pytest
from fakes.killing import KillServer


@pytest.fixture(scope="session")
def server():
    made = KillServer()
    yield made
    made.close()
