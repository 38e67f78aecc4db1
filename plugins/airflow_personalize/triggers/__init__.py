"""Triggers: what the triggerer awaits while no worker slot is held."""
