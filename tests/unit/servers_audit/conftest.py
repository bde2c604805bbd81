import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # audit_files.py is imported by name
