"""Move resources through their states: a runner, worker processes, and one job per kind of resource."""
