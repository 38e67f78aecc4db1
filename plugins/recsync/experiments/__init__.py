"""Experiments: assignment of people to arms, and statistics of the arms."""
