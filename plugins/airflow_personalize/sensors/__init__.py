"""Sensors: wait for what something else made."""
