"""Lift: the outcomes of an experiment's arms compared with its control."""
