"""Old paths of triggers, kept for one release; see the modules."""
