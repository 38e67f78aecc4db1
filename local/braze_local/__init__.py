"""Speak Braze's REST API on a laptop: profiles, catalogs, limits, faults and a data-point meter.

``python -m braze_local --port N --data DIR --key KEY`` starts it; ``--help`` lists the flags. See
https://www.braze.com/docs/api/home for what it imitates; everything is kept in one SQLite file under ``DIR``.
The control API under ``/_local`` (`control`) scripts faults (`faults`), changes settings (`settings`) and tells
what happened; README.md beside this file describes all of it.
"""
