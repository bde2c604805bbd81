"""Why another service gave no answer that can be used, in words that go behind a colon."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\[Errno -?\d+\] ")  # that Python puts before the words of the system


def reason(error: Exception) -> str:
    """``connection refused`` for ``[Errno 111] Connection refused``; the kind of error where it has no words."""
    text = str(error)
    if found := _NUMBER.match(text):
        return text[found.end() :].lower()
    return text or type(error).__name__
