"""The suites beside this file are imported by name (``from run_store_suite import RunStoreSuite``)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
