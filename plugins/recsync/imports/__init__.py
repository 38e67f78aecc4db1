"""Imports: what a dataset group holds, and what the next import takes."""
