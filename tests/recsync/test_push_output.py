from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from small_shop import SmallShop

from recsync import push_output
from recsync.push.plan_format import Estimate, PlanFigures
from recsync.push.store import Deliveries, PlanManifest
from recsync.recommend.store import RecommendationsStore

DELIVERY = "20261122T050000-abc"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    file = tmp_path / "users.json.out"
    lines = [
        {"input": {"userId": user}, "output": {"recommendedItems": ["i1", "i3"]}, "error": None}
        for user in ("u1", "u2")
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def plan(*, dry_run: bool = False, brake: str = "") -> PlanManifest:
    figures = PlanFigures(2, {"rest": 2}, 2, 0, 0, {}, {}, 2, 100)
    return PlanManifest(
        delivery=DELIVERY,
        recommendations="r",
        created_at="2026-11-22T05:00:00+00:00",
        dag_run="d",
        dry_run=dry_run,
        figures=figures,
        estimate=Estimate(people=2, requests=1, minutes=0.1, data_points=2),
        brake=brake,
    )


def put_plan(shop: SmallShop, manifest: PlanManifest) -> None:
    shop.context.bucket.put_json(f"{shop.context.keys.delivery(DELIVERY)}plan.json", asdict(manifest))


def test_the_output_is_published_and_the_push_dag_delivers_it(
    small_shop: SmallShop, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = small_shop.airflow_command()
    small_shop.arguments("push_output", "shop", str(output), "--resync")
    assert push_output.main() == 0
    *words, conf = command.read_text().splitlines()
    assert words == ["dags", "test", "shop_push", "--conf"]
    asked = json.loads(conf)
    run = asked.pop("recommendations")
    assert asked == {"dry_run": False, "resync": True, "allow_removals": False}
    assert f"Published 2 lists for 2 people as {run}\nThe rules left out 0 items\n" in capsys.readouterr().out
    published = small_shop.context.store(RecommendationsStore).manifest(run)
    assert (published.lists, published.source) == (2, str(output))


def test_without_an_output_the_newest_published_lists_are_delivered(small_shop: SmallShop) -> None:
    command = small_shop.airflow_command()
    small_shop.arguments("push_output", "shop", "--dry-run")
    assert push_output.main() == 0
    conf = json.loads(command.read_text().splitlines()[-1])
    assert conf == {"dry_run": True, "resync": False, "allow_removals": False}
    assert small_shop.context.bucket.keys("shop/") == []


def test_a_failed_run_and_a_wrong_program_are_errors(
    small_shop: SmallShop, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = small_shop.airflow_command(exit_status=1)
    small_shop.arguments("push_output", "shop", "--report", str(tmp_path / "report.json"))
    assert push_output.main() == 1
    assert capsys.readouterr().err == "error: The run of shop_push failed; its log is above.\n"
    assert not (tmp_path / "report.json").exists()

    command.unlink()
    small_shop.arguments("push_output", "shop", str(tmp_path / "no-such-folder"))
    assert push_output.main() == 1
    assert "no-such-folder" in capsys.readouterr().err
    assert not command.exists()


def test_the_report_is_that_of_the_newest_delivery(small_shop: SmallShop, tmp_path: Path) -> None:
    small_shop.airflow_command()
    put_plan(small_shop, plan())
    deliveries = small_shop.context.store(Deliveries)
    deliveries.put_report(DELIVERY, "report", {"data_points": 2})
    file = tmp_path / "report.json"
    small_shop.arguments("push_output", "shop", "--report", str(file))
    assert push_output.main() == 0
    assert json.loads(file.read_text()) == {"data_points": 2, "verification": {}}
    deliveries.put_report(DELIVERY, "verification", {"read": 2})
    assert push_output.main() == 0
    assert json.loads(file.read_text())["verification"] == {"read": 2}


def test_the_report_of_a_dry_run_is_its_plan(small_shop: SmallShop, tmp_path: Path) -> None:
    small_shop.airflow_command()
    put_plan(small_shop, plan(dry_run=True, brake="too many removals"))
    file = tmp_path / "report.json"
    small_shop.arguments("push_output", "shop", "--dry-run", "--report", str(file))
    assert push_output.main() == 0
    planned = {"people": 2, "requests": 1, "minutes": 0.1, "data_points": 2}
    assert json.loads(file.read_text()) == {"planned": planned, "brake": "too many removals"}
