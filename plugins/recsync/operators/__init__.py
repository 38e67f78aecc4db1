"""Operators: one step of a DAG each."""
