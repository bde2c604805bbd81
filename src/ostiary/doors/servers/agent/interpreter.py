"""Which Python runs the session hook and the service: one that is there tomorrow too, and none that PATH chose.

It is the distribution's own name. An upgrade of the distribution takes a version away and leaves the name, with the next
version behind it; a name with a version in it would be gone, and with it every way in by a certificate of the project.
Where that Python is too old for us (RHEL 8), or there is none, it is the very one that runs the agent: then its package has
to stay. Either is written down as a whole path; nobody's PATH is looked through when somebody logs in.
"""

from __future__ import annotations

import sys

from ostiary.doors.servers.agent.run import attempt

DISTRIBUTION = "/usr/bin/python3"
_IS_NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 9))"


def interpreter(distribution: str = DISTRIBUTION) -> str:
    """Asked each time, as what is behind the name changes while the agent runs."""
    code, _, _ = attempt(distribution, "-I", "-S", "-c", _IS_NEW_ENOUGH)
    return distribution if code == 0 else sys.executable
