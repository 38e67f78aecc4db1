"""Old path of recsync.preflight.run, kept for one release.

A command that people and schedulers of a deployment may have written down.
"""

import sys

from recsync.preflight.run import command

if __name__ == "__main__":
    sys.exit(command())
