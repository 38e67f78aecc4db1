"""Old path of recsync.books.report, kept for one release.

A command that people and schedulers of a deployment may have written down.
"""

import sys

from recsync.books.report import main

if __name__ == "__main__":
    sys.exit(main())
