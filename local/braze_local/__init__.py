"""Imitate Braze's REST API on a laptop: profiles, catalogs, limits, faults and a data-point meter.

``python -m braze_local --port N --data DIR --key KEY`` starts the server; ``--help`` lists the flags. All state
is in one SQLite file under ``DIR``. The control API under ``/_local`` (`control`) scripts faults (`faults`),
changes settings (`settings`) and reports the meter. README.md describes all of it.
https://www.braze.com/docs/api/home
"""
