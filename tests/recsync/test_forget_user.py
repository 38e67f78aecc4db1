from __future__ import annotations

import io

import pytest
from small_shop import SmallShop

from recsync import forget_user, settings
from recsync.errors import FatalError


def enter(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def last_lines(capsys: pytest.CaptureFixture[str], number: int) -> list[str]:
    # Airflow's log is on standard output too.
    return capsys.readouterr().out.splitlines()[-number:]


def test_a_request_prints_a_name_that_is_no_id(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, "ann 7\tbraze-ann\n")
    small_shop.arguments("forget_user", "request", "shop")
    assert forget_user.main() == 0
    name = last_lines(capsys, 1)[0]
    assert "ann" not in name
    request = small_shop.context.bucket.get_json(small_shop.context.keys.erasure(name, "request.json"))
    assert request["identity"] == {"user_id": "ann 7", "external_ids": ["braze-ann"]}


def test_one_erasure_is_for_all_programs_over_the_same_data(
    small_shop: SmallShop, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = settings.include_folder() / "programs"
    (programs / "winback.yaml").write_text("data: shop\nbraze: {attribute: back}\n")
    small_shop.arguments("forget_user", "programs")
    assert forget_user.main() == 0
    assert last_lines(capsys, 1) == ["shop"]


def test_airflow_gets_no_name_and_no_id_and_the_certificate_is_printed(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The name follows from the salted id, so a first request tells it.
    enter(monkeypatch, "ann\n")
    small_shop.arguments("forget_user", "request", "shop")
    forget_user.main()
    name = last_lines(capsys, 1)[0]
    context = small_shop.context
    context.bucket.put(context.keys.certificate(name, "20261122T050000", ".txt"), b"older")
    context.bucket.put(context.keys.certificate(name, "20261123T050000", ".txt"), b"newer")
    context.bucket.put(context.keys.certificate("another", "20261124T050000", ".txt"), b"another person's")

    command = small_shop.airflow_command()
    enter(monkeypatch, "ann\n")
    small_shop.arguments("forget_user", "run", "shop")
    assert forget_user.main() == 0
    assert command.read_text().splitlines() == ["dags", "test", "shop_forget"]
    uri = context.bucket.uri(context.keys.certificate(name, "20261123T050000", ".txt"))
    assert last_lines(capsys, 2) == ["newer", uri]


def test_a_failed_run_can_be_started_again(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_shop.airflow_command(exit_status=1)
    enter(monkeypatch, "ann\n")
    small_shop.arguments("forget_user", "run", "shop")
    assert forget_user.main() == 1
    assert "The run of shop_forget failed; its log is above. Start it again" in capsys.readouterr().err


def test_an_empty_id_is_an_error_and_starts_nothing(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = small_shop.airflow_command()
    enter(monkeypatch, " \n")
    small_shop.arguments("forget_user", "run", "shop")
    assert forget_user.main() == 1
    assert capsys.readouterr().err.startswith("error: The user_id of the person to forget is empty.")
    assert not command.exists()


def test_before_the_end_of_an_erasure_there_is_no_certificate(small_shop: SmallShop) -> None:
    with pytest.raises(FatalError, match="Erasure 0123 of shop has no certificate yet"):
        forget_user.certificates("shop", ["0123"])


def test_of_many_people_the_first_certificate_and_the_place_of_the_others_are_printed(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    enter(monkeypatch, "".join(f"u{n}\n" for n in range(11)) + "u3\tof-u3\n")
    small_shop.arguments("forget_user", "request", "shop")
    assert forget_user.main() == 0
    names = last_lines(capsys, 11)
    context = small_shop.context
    for name in names:
        context.bucket.put(context.keys.certificate(name, "20261122T050000", ".txt"), f"of {name}".encode())
    context.bucket.put(context.keys.batch_certificate("batch-1", "20261122T050000", ".txt"), b"11 people")
    enter(monkeypatch, "\n".join(names))
    small_shop.arguments("forget_user", "certificates", "shop")
    assert forget_user.main() == 0
    printed = capsys.readouterr().out
    assert "11 people\n11 certificates are in" in printed
    assert f"of {names[0]}" in printed
    assert f"of {names[1]}" not in printed
