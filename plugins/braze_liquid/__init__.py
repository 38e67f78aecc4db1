"""Braze's Liquid, rendered on this machine: its attribute syntax, tags and filters on top of python-liquid."""
