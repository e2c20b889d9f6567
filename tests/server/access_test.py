"""Who may ask, and what is refused before a server starts; no model is loaded here."""

import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc


@pytest.fixture
def models(tmp_path):
    """A version that is not whole: a server has nothing to load."""
    (tmp_path / "models" / "line" / "1").mkdir(parents=True)
    return tmp_path / "models"


def asked() -> get_model_status_pb2.GetModelStatusRequest:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "line"
    return request


def test_a_token_and_tls_are_asked_for_over_both_protocols(start, models, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    pair = ("-keyout", "key.pem", "-out", "cert.pem")
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *pair, *names]
    subprocess.run(make, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "token").write_text("secret\n")
    words = ("--token-file", tmp_path / "token", "--host", "0.0.0.0")
    words += ("--tls-certificate", tmp_path / "cert.pem")
    words += ("--poll", 3600)  # nothing is said of the version meanwhile
    server = start(models, *words, "--tls-key", tmp_path / "key.pem")
    trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    address = f"https://localhost:{server.rest}"

    def status(path: str, **headers) -> int:
        request = urllib.request.Request(address + path, headers=headers)
        try:
            with urllib.request.urlopen(request, context=trust) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    assert status("/healthz") == 200 and status("/readyz") == 503
    for path in ("/v1/models/line", "/metrics"):
        assert status(path) == status(path, Authorization="Bearer wrong") == 401
    assert status("/metrics", Authorization="Bearer secret") == 200
    assert status("/v1/models/line", Authorization="Bearer secret") == 404
    certificate = (tmp_path / "cert.pem").read_bytes()
    secure = grpc.ssl_channel_credentials(certificate)
    with grpc.secure_channel(f"localhost:{server.grpc}", secure) as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        for sent, code in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            ((("authorization", "Bearer secret"),), grpc.StatusCode.NOT_FOUND),
        ):
            with pytest.raises(grpc.RpcError) as told:
                stub.GetModelStatus(asked(), 60, metadata=sent)
            assert told.value.code() is code
    assert server.stop() == 0
    assert "Traceback" not in server.said()


def test_a_version_that_is_not_whole_is_said_once_and_listed(start, models):
    server = start(models, "--poll", 0.02)
    server.wait_for(lambda: server.get("/v1/models/line")[0] == 200)
    _, answer = server.get("/v1/models/line")
    (status,) = answer["model_version_status"]
    assert (status["version"], status["state"]) == ("1", "END")
    assert status["status"]["error_code"] == "UNKNOWN"
    assert "holds no MANIFEST" in status["status"]["error_message"]
    with grpc.insecure_channel(f"localhost:{server.grpc}") as channel:
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        (same,) = stub.GetModelStatus(asked(), 60).model_version_status
    assert same.state == same.END and same.status.error_code
    time.sleep(1)  # fifty looks
    assert server.said().count("version 1 is not whole") == 1
    assert server.get("/readyz")[0] == 503 and server.stop() == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "pass --token-file FILE, or --anyone"),
        (["--tls-key", "key"], "--tls-certificate and --tls-key go together"),
        (["--review", ".7", ".3"], "two scores, 0 <= LOW <= HIGH <= 1"),
        (["--watch", "missing"], "--watch missing: no such folder"),
        (["--watch", ".", "--watch-model", "other"], "no such model"),
        (["--keep", "all"], "rejects, review, every:N or none is expected"),
        (["--history", "mysql://a/b"], "mysql: no such history"),
        (["--token-file", "empty"], "is empty; write a token into it"),
        (["--token-file", "latin"], "is no text; write a token into it, in UTF-8"),
        (["--port", "7001", "--grpc-port", "7001"], "REST and gRPC need a port each"),
        (["--station", "s" * 201], "201 characters; at most 200 are kept"),
        (["--batch-size", "0"], "--batch-size 0: a whole number"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    models, run_command, capsys, monkeypatch, words, said
):
    monkeypatch.chdir(models.parent)
    for name in ("key", "empty"):
        (models.parent / name).touch()
    (models.parent / "latin").write_bytes(b"\xe9")
    assert run_command("serve", models, *words) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1
    assert not list(
        models.parent.glob("*.sqlite")
    )  # no history of a server that is not


def test_a_taken_port_is_one_line(models, run_command, capsys, monkeypatch):
    monkeypatch.chdir(models.parent)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_command("serve", models, "--port", port) == 2
        assert "name another port" in capsys.readouterr().err
        words = ("--port", 0, "--grpc-port", port)
        assert run_command("serve", models, *words) == 2
        assert "name another port" in capsys.readouterr().err


def test_a_history_that_fails_at_the_start_is_one_line(
    models, run_command, capsys, monkeypatch
):
    from nexperia_tf.server.history import database, opening

    def away(self, name):
        raise opening.Unwritable("the history cannot be used (disk I/O error)")

    monkeypatch.chdir(models.parent)
    monkeypatch.setattr(database.Database, "setting", away)
    history = models.parent / "away.sqlite"
    assert run_command("serve", models, "--history", history) == 2
    shown = capsys.readouterr().err
    assert "away.sqlite: the history cannot be used" in shown
    assert "disk I/O error" in shown and shown.count("\n") == 1
    for made in models.parent.glob("away.sqlite*"):
        made.unlink()


def test_a_missing_library_is_named_with_what_installs_it(
    models, run_command, capsys, monkeypatch
):
    from nexperia_tf.server import extra

    monkeypatch.setattr(extra, "LIBRARIES", ("fastapi", "no_such_library"))
    assert run_command("serve", models) == 2
    shown = capsys.readouterr().err
    assert (
        "no_such_library: is not installed; pip install 'nexperia_tf[serve]'" in shown
    )
