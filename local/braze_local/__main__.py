"""Run the server from the command line."""

from __future__ import annotations

import sys

from braze_local.cli import main

if __name__ == "__main__":
    sys.exit(main())
