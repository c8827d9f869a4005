"""``python -m kubeline.cli``."""

import sys

from kubeline.cli import main

sys.exit(main())
