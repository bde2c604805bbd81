"""What Elastic Load Balancing refuses and moto takes."""

from __future__ import annotations

from ostiary.sandbox.aws.call import Call


def check(call: Call) -> None:
    """Raise AWS's own error."""
