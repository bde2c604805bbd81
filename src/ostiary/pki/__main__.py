"""``python -m ostiary.pki``."""

import sys

from ostiary.pki.keygen.run import main

sys.exit(main(sys.argv[1:]))
