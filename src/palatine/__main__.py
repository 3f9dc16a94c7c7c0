"""`python -m palatine` is `pal`."""

from __future__ import annotations

import sys

from palatine.cli.main import main

sys.exit(main())
