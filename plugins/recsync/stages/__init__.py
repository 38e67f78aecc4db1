"""Old paths of commands, kept for one release; see the modules."""
