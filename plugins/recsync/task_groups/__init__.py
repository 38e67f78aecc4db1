"""Task groups that several DAGs share, and those that differ by what a program's recipe can do."""

from recsync.preflight.tasks import check_first
from recsync.recommend.tasks import answers, audience_segment
from recsync.task_groups.exclusion import hold
from recsync.task_groups.setup import setup
from recsync.task_groups.training import PLAN, train
from recsync.task_groups.tuning import tune

__all__ = ["PLAN", "answers", "audience_segment", "check_first", "hold", "setup", "train", "tune"]
