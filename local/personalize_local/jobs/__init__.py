"""Run the jobs of resources: a runner, worker processes, and one job per kind of resource."""
