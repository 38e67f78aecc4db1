from __future__ import annotations

import json
from dataclasses import replace

from lift_samples import sample_report

from recsync.experiments.report import LiftReport


def test_a_report_survives_json_and_unknown_members() -> None:
    report = sample_report()
    document = json.loads(json.dumps(report.to_json()))
    assert LiftReport.from_json(document) == report
    document["arms"][0]["later"] = document["later"] = 1
    assert LiftReport.from_json(document) == report


def test_a_comparison_is_proven_only_by_its_always_valid_interval() -> None:
    report = sample_report()
    value = report.compared("recommended", "value_per_user")
    assert value is not None
    assert value.is_better
    assert not value.is_worse
    assert not replace(value, always_low=None, always_high=None).is_better
    assert not replace(value, always_relative_low=-0.01).is_better
    worse = replace(value, always_low=-0.3, always_high=-0.1, always_relative_low=-0.3)
    assert replace(worse, always_relative_high=-0.1).is_worse
    assert not worse.is_worse
    assert report.compared("nobody", "value_per_user") is None
