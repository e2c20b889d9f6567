"""Status and signatures of models, as TensorFlow Serving's messages and as JSON."""

from google.protobuf import json_format, message

from nexperia_tf.library_internals import serving_protos as protos
from nexperia_tf.server import refusals, station
from nexperia_tf.server.models import versions

_STATE = protos.get_model_status_pb2.ModelVersionStatus.State
_UNKNOWN = 2  # a status code of gRPC, whose loader did not say more


def status(
    of: station.Station, name: str, number: int | None
) -> protos.get_model_status_pb2.GetModelStatusResponse:
    """What is known of a model's versions, or of one.

    Raises:
        refusals.Refused: nothing is.
    """
    model = of.models.get(name)
    known = model.states() if model else ()
    wanted = [v for v in known if number in (None, v.number)]
    if not wanted:
        which = "" if number is None else f" with version {number}"
        message = f"Could not find any versions of model {name}{which}"
        raise refusals.Refused(refusals.NOT_FOUND, message)
    answer = protos.get_model_status_pb2.GetModelStatusResponse()
    for version in wanted:
        _describe(version, answer.model_version_status.add())
    return answer


def _describe(
    version: versions.Version,
    into: protos.get_model_status_pb2.ModelVersionStatus,
) -> None:
    into.version = version.number
    into.state = _STATE.Value(version.state)
    into.status.error_code = _UNKNOWN if version.problem else 0
    into.status.error_message = version.problem


def metadata(
    of: station.Station, name: str, number: int | None
) -> protos.get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a version.

    Raises:
        refusals.Refused: there is no such model or version.
    """
    version = of.model(name).version(number)
    signatures = protos.get_model_metadata_pb2.SignatureDefMap()
    signatures.ParseFromString(version.signatures)
    answer = protos.get_model_metadata_pb2.GetModelMetadataResponse()
    answer.model_spec.name = name
    answer.model_spec.version.value = version.number
    answer.metadata["signature_def"].Pack(signatures)
    return answer


def status_json(of: station.Station, name: str, number: int | None) -> str:
    """`status` as TensorFlow Serving writes it."""
    return _json(status(of, name, number))


def metadata_json(of: station.Station, name: str, number: int | None) -> str:
    """`metadata` as TensorFlow Serving writes it."""
    return _json(metadata(of, name, number))


def _json(answer: message.Message) -> str:
    return json_format.MessageToJson(
        answer,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
