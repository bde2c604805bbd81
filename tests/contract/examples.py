"""How many examples a test tries: a few each time ``make test`` runs, and never the same ones; all in ``make chaos``.

A test that asks here is marked ``chaos``, so that its full form is run.
"""

import os

FULL = os.environ.get("OSTIARY_CHAOS") == "full"


def examples(few, many):
    return many if FULL else few
