from __future__ import annotations

import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from small_shop import SmallShop

from recsync.errors import FatalError
from recsync.experiments.layer import LayerExperiment
from recsync.experiments.store import LayerStore
from recsync.preflight import run
from recsync.preflight.findings import Findings
from recsync.preflight.run import connections_of, look, main
from recsync.program.files import program_yaml
from recsync.program.parse import parse_program
from recsync.push.store import LastSent, LastSentState


def test_a_program_that_does_not_exist_names_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FatalError, match=r"no include/programs/grocer\.yaml.*did you mean grocery\?"):
        look("grocer")
    assert main("grocer") == 1
    assert "did you mean grocery?" in capsys.readouterr().err


def test_every_connection_is_known_by_the_field_that_names_it() -> None:
    alert = {"via": "slack", "connection": "team"}
    shop = parse_program("shop", {"braze": {"attribute": "recs"}, "aws": "aws_eu", "alerts": [alert]})
    assert connections_of(shop) == {
        ("warehouse",): "warehouse",
        ("braze", "connection"): "braze_default",
        ("aws",): "aws_eu",
        ("alerts", 0, "connection"): "team",
    }


def test_another_identifier_than_the_last_delivery_is_said_to_be_a_resync(small_shop: SmallShop) -> None:
    store = small_shop.context.store(LastSent)
    store.replace(LastSentState(table="state/last_sent/1.parquet"), None)

    def notes() -> list[str]:
        path = small_shop.include / "programs" / "shop.yaml"
        findings = Findings(program_yaml(path))
        run._check_identifier(small_shop.context, findings)
        assert not findings.problems
        return findings.notes

    assert notes() == []
    small_shop.write_program(braze={"attribute": "recs", "identifier": "email"})
    (note,) = notes()
    assert "by external_id, and the program file by email" in note
    assert "a resync" in note


def test_an_experiment_that_its_layer_does_not_allow_is_told(small_shop: SmallShop) -> None:
    arms = {"a": {"share": 0.5, "gets": "champion"}, "b": {"share": 0.2, "gets": "nothing"}}
    small_shop.write_sql("outcomes", "SELECT 1")
    small_shop.write_program(experiment={"name": "autumn", "layer": "mail", "arms": arms})
    other = LayerExperiment("wine", ("wine",), {"x": 0.4}, {"x": "champion"}, {"x": "0-3999"})
    document = small_shop.context.store(LayerStore).document("mail")
    document.update(lambda layer: layer.with_experiment("winter", other))

    def found() -> Findings:
        findings = Findings(program_yaml(small_shop.include / "programs" / "shop.yaml"))
        run._check_experiment(small_shop.context, findings, datetime.now(UTC))
        return findings

    # No program file has it any more: the next run frees its buckets.
    assert (found().problems, found().checked) == ([], ["experiment"])
    small_shop.write_program("wine", experiment={"name": "winter", "layer": "mail", "arms": arms})
    (problem,) = found().problems
    assert problem.startswith(
        "shop.yaml:1: experiment: Experiment autumn asks for 7,000 of the 10,000 buckets"
    )
    assert "1,000 more than are free: winter of wine has 4,000" in problem
    small_shop.write_program("wine", nonsense=True)
    assert len(found().problems) == 1, "a broken file may still have it"
    small_shop.write_program("wine", experiment={"name": "autumn", "layer": "mail", "arms": arms})
    (problem,) = found().problems
    assert "is in the program file of wine too" in problem
    assert list(document.get().experiments) == ["winter"], "nothing is written"


class _Refusing(BaseHTTPRequestHandler):
    """Answers as a role without permission is answered, or one that names an unknown tracker."""

    code = ""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(403 if "Denied" in self.code else 400)
        self.send_header("x-amzn-ErrorType", self.code)
        self.end_headers()
        self.wfile.write(b'{"message": "refused"}')

    def log_message(self, *_: object) -> None:
        """Keep the test output clean."""


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidInputException"])
def test_a_role_that_may_not_stream_is_told(
    small_shop: SmallShop, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    small_shop.write_program(personalize={"update_by": "events"})
    monkeypatch.setattr(_Refusing, "code", code)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        endpoint = {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}
        extra = {"region_name": "us-east-1", "service_config": {"personalize-events": endpoint}}
        connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
        findings = Findings(program_yaml(small_shop.include / "programs" / "shop.yaml"))
        run._check_streaming(small_shop.context, findings)
        server.shutdown()
    if code == "InvalidInputException":
        assert findings.checked == ["permission to stream"]
        assert not findings.problems
    else:
        assert "personalize.update_by" in findings.problems[0]
        assert "AccessDeniedException" in findings.problems[0]
