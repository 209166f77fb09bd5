"""`python -m pytest_modelbench`."""

from __future__ import annotations

import sys

from pytest_modelbench.commands.cli import main

sys.exit(main())
