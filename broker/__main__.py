"""``python -m broker`` is the ``leveret`` command."""

import sys

from broker.command import main

sys.exit(main())
