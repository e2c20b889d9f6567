"""PredictionService and ModelService of TensorFlow Serving over gRPC."""

import functools
from collections.abc import Callable

import grpc

from nexperia_tf.library_internals import serving_protos as protos
from nexperia_tf.server import asking, refusals, station
from nexperia_tf.server.front import describing, gates, json_form, tensors

REQUEST_ID = "x-request-id"
_METADATA = "signature_def"


def _answering(method: Callable) -> Callable:
    """Turns what is refused into gRPC's status, and asks for the token first."""

    @functools.wraps(method)
    async def answer(self, request, context: grpc.aio.ServicerContext):
        try:
            self.check(context)
            return await method(self, request, context)
        except refusals.Refused as error:
            await context.abort(getattr(grpc.StatusCode, error.code), str(error))

    return answer


class _Service:
    """What both services have: a station, and a token that clients must bring."""

    def __init__(self, of: station.Station, token: str):
        self.station, self._token = of, token

    def check(self, context: grpc.aio.ServicerContext) -> None:
        """Raises refusals.Refused where the token is not brought."""
        if not gates.is_allowed(_sent(context, "authorization"), self._token):
            raise refusals.Refused(
                refusals.UNAUTHENTICATED, "metadata authorization: Bearer TOKEN"
            )


class Prediction(
    _Service, protos.prediction_service_pb2_grpc.PredictionServiceServicer
):
    """Predict and GetModelMetadata; the other methods are unimplemented."""

    @_answering
    async def Predict(self, request, context):
        spec = request.model_spec
        asked = asking.Asked(
            source="grpc",
            model=spec.name,
            version=_version(spec),
            pictures=tensors.pictures(request.inputs, spec.signature_name),
            request_id=_sent(context, REQUEST_ID) or "",
            deadline=context.time_remaining(),
        )
        judged = await self.station.judge(asked)
        json_form.refuse_if_unreadable(judged)
        found = tensors.outputs(judged)
        answer = protos.predict_pb2.PredictResponse()
        answer.model_spec.name = judged.model
        answer.model_spec.version.value = judged.version
        answer.model_spec.signature_name = spec.signature_name or "serving_default"
        for name in request.output_filter or found:
            if name not in found:
                message = f"output tensor alias not found in signature: {name}"
                raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
            answer.outputs[name].CopyFrom(found[name])
        return answer

    @_answering
    async def GetModelMetadata(self, request, context):
        for field in request.metadata_field:
            if field != _METADATA:
                message = f"Metadata field {field} is not supported"
                raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
        spec = request.model_spec
        return describing.metadata(self.station, spec.name, _version(spec))


class Models(_Service, protos.model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, and HandleReloadConfigRequest to pin a version."""

    @_answering
    async def GetModelStatus(self, request, context):
        spec = request.model_spec
        return describing.status(self.station, spec.name, _version(spec))

    @_answering
    async def HandleReloadConfigRequest(self, request, context):
        """`specific { versions: N }` pins version N, `latest {}` takes the pin off.

        Names, folders and platforms are those that the server was started with.
        """
        for config in request.config.model_config_list.config:
            policy = config.model_version_policy
            numbers = list(policy.specific.versions)
            if len(numbers) > 1:
                message = f"{config.name}: one version answers; name one"
                raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
            await self.station.pin(config.name, numbers[0] if numbers else None)
        return protos.model_management_pb2.ReloadConfigResponse()


def _version(spec) -> int | None:
    """The version that a client names.

    Raises:
        refusals.Refused: it names a label, and versions have none here.
    """
    kind = spec.WhichOneof("version_choice")
    if kind == "version_label":
        message = f"Unrecognized servable version label: {spec.version_label}"
        raise refusals.Refused(refusals.INVALID_ARGUMENT, message)
    return spec.version.value if kind else None


def _sent(context: grpc.aio.ServicerContext, name: str) -> str | None:
    """A value of the metadata that a client has sent."""
    found = (value for key, value in context.invocation_metadata() if key == name)
    return next(found, None)


def server(of: station.Station, *, token: str, max_body: int) -> grpc.aio.Server:
    """A server of both services, without a port."""
    made = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # a second server is told that the port is taken
        )
    )
    add = protos.prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server
    add(Prediction(of, token), made)
    add = protos.model_service_pb2_grpc.add_ModelServiceServicer_to_server
    add(Models(of, token), made)
    return made
