"""A server in a process of its own, asked by curl, gRPC and Python's library."""

import csv
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from nexperia_tf.serving import export

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "serving.md"
REVIEW = (0.4, 0.6)


@pytest.fixture(scope="module")
def base(publish_tiny, tmp_path_factory):
    """Two versions of a model, whose verdicts differ."""
    base = tmp_path_factory.mktemp("models") / "line"
    publish_tiny(base)
    publish_tiny(base, seed=1, threshold=0.1)
    return base


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return tmp_path_factory.mktemp("history") / "history.sqlite"


@pytest.fixture(scope="module")
def server(start, base, history):
    words = ("--max-items", 9, "--max-body", 100_000, "--keep", "rejects,every:3")
    words += ("--deadline", 300)  # of a machine with other work
    server = start(base.parent, "--history", history, *words).ready()
    server.wait_for(lambda: server.get("/v1/models/line/versions/1")[0] == 200)
    loaded = "line: version 1 is loaded"  # the newest comes first
    server.wait_for(lambda: loaded in server.said())
    return server


@pytest.fixture(scope="module")
def expected(base, pictures):
    """By version, what the SavedModels themselves say: scores and labels."""
    return {
        number: export.load(base / str(number)).score_bytes(pictures)
        for number in (1, 2)
    }


def called(server) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{server.grpc}")


def request(contents, *, version: int | None = None, signature: str = ""):
    made = predict_pb2.PredictRequest()
    made.model_spec.name = "line"
    made.model_spec.signature_name = signature
    if version:
        made.model_spec.version.value = version
    made.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(contents))
    return made


def says(answer: predict_pb2.PredictResponse, name: str) -> list:
    return tf.make_ndarray(answer.outputs[name]).tolist()


def test_scores_are_those_of_the_saved_models(server, pictures, expected):
    for number, path in ((2, "line:predict"), (1, "line/versions/1:predict")):
        status, answer = server.predict(pictures, path)
        scores, labels = expected[number]
        assert status == 200 and answer["outputs"]["label"] == labels
        np.testing.assert_allclose(answer["outputs"]["score"], scores, atol=1e-5)


def test_the_clients_of_the_page_run_as_they_stand(
    server, pictures, expected, tmp_path
):
    """Its lines for a shell and its Python, but for the ports, which are free ones."""
    (tmp_path / "PICTURE").write_bytes(pictures[0])
    page = PAGE.read_text()
    page = page.replace(":8501/", f":{server.rest}/")
    page = page.replace(":8500", f":{server.grpc}")
    asked = page.index("Ask over REST")
    lines = re.findall(r"^ {4}((?:python|curl) .*)$", page[asked:], re.MULTILINE)[:2]
    assert lines[0].startswith("python -c") and lines[1].startswith("curl -d")
    run = {"check": True, "capture_output": True, "cwd": tmp_path}
    env = f"PATH={pathlib.Path(sys.executable).parent}:$PATH; "
    (packed, asked) = (
        subprocess.run(env + line, shell=True, **run).stdout for line in lines
    )
    scores, labels = expected[2]
    answer = json.loads(asked)["outputs"]
    assert packed == b"" and answer["label"] == [labels[0]] * 2
    np.testing.assert_allclose(answer["score"], [scores[0]] * 2, atol=1e-5)
    code = re.search(r"^ {4}import grpc.*\n(\n| {4}.*\n)+", page, re.MULTILINE)
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(code[0])], **run)
    assert f"[b'{labels[0]}']" in ran.stdout.decode()
    assert float(ran.stdout.split(b"]")[0][1:]) == pytest.approx(scores[0], abs=1e-5)


def test_one_bad_picture_costs_its_own_item_alone(server, pictures, torn, expected):
    contents = [pictures[0], torn, pictures[1], b""]
    _, labels = expected[2]
    status, answer = server.predict(contents)
    found = answer["outputs"]
    assert status == 200 and found["label"] == [labels[0], "", labels[1], ""]
    assert found["score"][1] is None and "truncated" in found["problem"][1]
    assert found["problem"][3] == "the file is empty" and found["problem"][0] == ""
    status, answer = server.predict([torn])
    assert status == 400 and "no picture can be read: truncated" in answer["error"]
    with called(server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(request(contents), 60)
        assert says(answer, "label") == [
            labels[0].encode(),
            b"",
            labels[1].encode(),
            b"",
        ]
        assert np.isnan(says(answer, "score")[1])
        with pytest.raises(grpc.RpcError) as told:
            stub.Predict(request([torn]), 60)
        assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_form_of_files_is_answered_file_by_file(server, pictures, torn, tmp_path):
    (tmp_path / "a.png").write_bytes(pictures[0])
    (tmp_path / "torn.png").write_bytes(torn)
    address = f"http://127.0.0.1:{server.rest}/v1/models/line:predict"
    curl = ["curl", "-s", "-F", "picture=@a.png", "-F", "picture=@torn.png", address]
    ran = subprocess.run(curl, capture_output=True, cwd=tmp_path, check=True)
    first, second = json.loads(ran.stdout)["predictions"]
    assert first["file"] == "a.png" and first["label"] in ("good", "defect")
    assert second["file"] == "torn.png" and "truncated" in second["problem"]


def test_pixels_are_scored_over_grpc(server, base, expected):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 30, 20, 1), np.uint8)
    scores, _ = export.load(base / "1").score_pixels(pixels)
    asked = request([], version=1, signature="image_pixels")
    del asked.inputs["image_bytes"]
    asked.inputs["image_pixels"].CopyFrom(tf.make_tensor_proto(pixels))
    asked.output_filter.append("score")
    with called(server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answer = stub.Predict(asked, 60)
    assert list(answer.outputs) == ["score"] and answer.model_spec.version.value == 1
    np.testing.assert_allclose(says(answer, "score"), scores, atol=1e-5)


def test_status_and_metadata_are_those_of_tensorflow_serving(server, base):
    ok = {"error_code": "OK", "error_message": ""}
    one = {"version": "1", "state": "AVAILABLE", "status": ok}
    assert server.get("/v1/models/line/versions/1") == (
        200,
        {"model_version_status": [one]},
    )
    _, answer = server.get("/v1/models/line")
    assert [each["version"] for each in answer["model_version_status"]] == ["2", "1"]
    _, answer = server.get("/v1/models/line/metadata")
    assert answer["model_spec"]["version"] == "2"
    found = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert found["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    with called(server) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        asked = get_model_metadata_pb2.GetModelMetadataRequest()
        asked.model_spec.name = "line"
        asked.metadata_field.append("signature_def")
        answer = stub.GetModelMetadata(asked, 60)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        assert answer.metadata["signature_def"].Unpack(signatures)
        assert {"serving_default", "image_pixels"} <= set(signatures.signature_def)
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = "line"
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        answer = models.GetModelStatus(asked, 60)
        assert [each.version for each in answer.model_version_status] == [2, 1]


ANY = b'{"inputs": ["a"]}'
TEN = json.dumps({"inputs": ["a"] * 10}).encode()
MALFORMED = "Malformed request: POST /v1/models/"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("other:predict", ANY, 404, "not found for request: Latest(other)"),
        ("line/versions/9:predict", ANY, 404, "not found"),
        ("line/versions/x:predict", ANY, 400, MALFORMED),
        ("line:predict", b"no JSON", 400, "JSON Parse error"),
        ("line:explain", ANY, 400, f"{MALFORMED}line:explain"),
        ("line:predict", TEN, 400, "10 pictures in one request; at most 9"),
        ("line:predict", b"x" * 100_001, 413, "longer than 100000 bytes"),
        ("other", None, 404, "Could not find any versions of model other"),
        ("line/versions/9", None, 404, "Could not find any versions of model line"),
        ("line:predict", None, 400, "Malformed request: GET /v1/models/line:predict"),
    ],
)
def test_errors_have_servings_codes_and_bodies(server, path, body, status, said):
    code, answer = server.ask(f"/v1/models/{path}", body)
    assert code == status and list(answer) == ["error"] and said in answer["error"]


def test_a_body_that_hides_its_length_is_cut_off_at_the_cap(server):
    address = f"http://127.0.0.1:{server.rest}/v1/models/line:predict"
    curl = ["curl", "-s", "-H", "Transfer-Encoding: chunked", "-d", "@-", address]
    ran = subprocess.run(curl, input=b"x" * 300_000, capture_output=True, check=True)
    assert "longer than 100000 bytes" in json.loads(ran.stdout)["error"]


def test_a_request_id_gives_the_same_verdict_again(server, pictures, history):
    def rows() -> int:
        return len(exported(history))

    first = server.predict(pictures[:3], "line/versions/1:predict", X_Request_Id="once")
    count = rows()
    again = server.predict(pictures[:3], "line:predict", X_Request_Id="once")
    assert again == first and first[0] == 200 and rows() == count
    code, answer = server.predict(pictures[3:5], X_Request_Id="once")
    assert code == 409 and "was used for other pictures" in answer["error"]
    with called(server) as channel:  # the same over gRPC
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        sent = (("x-request-id", "once"),)
        answer = stub.Predict(request(pictures[:3]), 60, metadata=sent)
    assert answer.model_spec.version.value == 1 and rows() == count
    threads = [
        threading.Thread(
            target=server.predict, args=(pictures[:2],), kwargs={"X_Request_Id": "both"}
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows() == count + 2


def test_a_picture_that_a_person_drops_is_scored_and_looked_at(
    server, pictures, expected, history, tmp_path
):
    (tmp_path / "dropped.png").write_bytes(pictures[0])
    address = f"http://127.0.0.1:{server.rest}"
    fields = {"model": "line", "request_id": "by-hand", "picture": "@dropped.png"}
    form = [word for each in fields.items() for word in ("-F", "=".join(each))]
    command = ["curl", "-s", *form, f"{address}/drop"]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, check=True, text=True
    )
    score = expected[2][0][0]
    assert f"<strong>{score:.3f}</strong>" in ran.stdout
    assert "no training pictures lie with this model" in ran.stdout
    rows = [row for row in exported(history) if row["source"] == "page"]
    assert [(row["path"], row["score"]) for row in rows] == [
        ("dropped.png", pytest.approx(score, abs=1e-6))
    ]


def exported(history) -> list[dict]:
    from nexperia_tf.server.history import database

    opened = database.Database(str(history))
    rows = [dict(row) for row in opened.rows()]
    opened.close()
    return rows


def test_one_call_goes_back_a_version_and_one_takes_it_back(server, pictures, expected):
    labels = {number: found[1] for number, found in expected.items()}
    assert labels[1] != labels[2]

    def answers() -> list[str]:
        return server.predict(pictures)[1]["outputs"]["label"]

    assert answers() == labels[2]
    path = "/v1/models/line:rollback"
    assert server.ask(path, b"") == (200, {"serving": 1, "pinned": True})
    assert answers() == labels[1]
    assert server.ask(path, b"")[0] == 404  # none before it
    latest = "/v1/models/line:latest"
    assert server.ask(latest, b"") == (200, {"serving": 2, "pinned": False})
    assert answers() == labels[2]
    asked = model_management_pb2.ReloadConfigRequest()
    config = asked.config.model_config_list.config.add()
    config.name = "line"
    config.model_version_policy.specific.versions.append(1)
    with called(server) as channel:  # as one does with TensorFlow Serving
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        assert stub.HandleReloadConfigRequest(asked, 60).status.error_code == 0
        assert answers() == labels[1]
        config.model_version_policy.latest.num_versions = 1
        stub.HandleReloadConfigRequest(asked, 60)
    assert answers() == labels[2]


def test_health_and_metrics_say_what_there_is(server):
    assert server.get("/healthz") == (200, {"status": "ok"})
    assert server.get("/readyz")[1]["serving"] == {"line": 2}
    address = f"http://127.0.0.1:{server.rest}/metrics"
    curl = subprocess.run(["curl", "-s", address], capture_output=True, check=True)
    shown = curl.stdout.decode()
    assert 'nexperia_serving_version{model="line"} 2.0' in shown
    assert 'nexperia_requests_total{code="OK",source="rest"}' in shown


def test_the_front_has_no_tensorflow(server):
    models = server.models()
    assert len(models) == 2
    processes = [server.process, *models]
    loaded = [pathlib.Path(f"/proc/{each.pid}/maps").read_text() for each in processes]
    assert ["libtensorflow" in maps for maps in loaded] == [False, True, True]


def test_a_version_that_is_being_copied_is_not_served_before_it_is_whole(
    server, base, pictures, tmp_path
):
    names = sorted(p.relative_to(base / "1") for p in (base / "1").rglob("*"))
    target = base / "3"
    for name in names:
        if (base / "1" / name).is_dir():
            continue
        assert "3" not in str(server.get("/readyz")[1]["serving"]["line"])
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base / "1" / name, target / name)
    server.wait_for(lambda: server.get("/readyz")[1]["serving"] == {"line": 3})
    found = server.get("/v1/models/line")[1]["model_version_status"]
    server.wait_for(lambda: server.get("/v1/models/line/versions/1")[0] == 404)
    assert found[0]["version"] == "3"  # and the one before it stays
    assert server.get("/v1/models/line/versions/2")[0] == 200


def test_a_process_that_dies_is_started_again_and_no_request_fails(server, pictures):
    expected = server.predict(pictures)
    for process in server.models():
        process.kill()
    status, answer = server.predict(pictures)
    assert (
        status == 200 and answer["outputs"]["label"] == expected[1]["outputs"]["label"]
    )


def test_rejects_and_each_third_are_kept_as_they_came(server, history):
    rows = exported(history)
    folder = history.with_suffix(".pictures")
    torn = [row for row in rows if "truncated" in row["problem"]]
    rejected = torn + [row for row in rows if row["label"] == "defect"]
    assert torn and rejected and all(row["kept_as"] for row in rejected)
    empty = [row for row in rows if "is empty" in row["problem"]]
    assert empty and not any(row["kept_as"] for row in empty)  # no picture
    assert sum(bool(row["kept_as"]) for row in rows) >= len(rows) // 3
    for row in rows:
        if row["kept_as"]:
            assert row["picture_sha256"] in row["kept_as"]
            assert (folder / row["kept_as"]).is_file()


def test_every_answer_was_in_the_history_and_sigterm_lets_requests_end(
    server, pictures, history, run_command, tmp_path
):
    told = []
    threads = [
        threading.Thread(target=lambda: told.append(server.predict(pictures)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    server.wait_for(lambda: told)
    assert server.stop(signal.SIGTERM) == 0
    for thread in threads:
        thread.join()
    assert {status for status, _ in told} <= {200, 503, 0}  # 0: came too late
    answered = sum(status == 200 for status, _ in told)
    out = tmp_path / "verdicts.csv"
    assert run_command("history", history, "--out", out) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert answered and len(rows) >= 8 * answered
    sources = {row["source"] for row in rows}
    assert {"rest"} <= sources <= {"rest", "grpc", "upload", "page"}
    assert all(
        len(row["picture_sha256"]) == 64 and row["model"] == "line" for row in rows
    )
    assert float(rows[0]["score"]) != float(rows[0]["threshold"])
