"""Measure the plan stage and the delivery stage against floors and peers; started by ``make bench``."""
