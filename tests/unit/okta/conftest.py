"""The org and the client are those of the contract tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "contract"))

from okta_world import make_client, make_world


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def client(world):
    return make_client(world)
