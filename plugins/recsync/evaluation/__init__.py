"""Evaluation: metrics, gate, champion, rollback and comparison of solution versions."""
