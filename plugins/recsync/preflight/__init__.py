"""Preflight: check everything that a run needs before anything is billed."""
