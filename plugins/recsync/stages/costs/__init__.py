"""Old path of a command, kept for one release; see the module."""
