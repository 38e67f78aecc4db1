"""Old path of the deadline's callback, kept for one release; see the module."""
