"""What would be done again for each session of botocore, and with each garbage collection, is done once."""

import functools
import gc

import botocore.loaders
import botocore.session
import pytest

# What botocore knows of AWS: tests make hundreds of sessions of their own, and nobody writes to it.
botocore.loaders.create_loader = functools.cache(botocore.loaders.create_loader)
botocore.session.create_loader = botocore.loaders.create_loader


gc.disable()


def pytest_collection_finish():
    """All that was imported and collected stays to the end: no collection need look at it, then or ever."""
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    """What a test left open is found by this one; the ten that pytest makes after it have nothing to look through."""
    gc.collect()
    gc.freeze()
