"""``python -m lorafab.cli``."""

import sys

from lorafab.cli import main

sys.exit(main())
