"""Messages between a server and the processes of its models.

A message is a JSON object and a list of byte strings, each sent with its length by a
`multiprocessing` connection. Nothing is pickled: what a model's process says is data.
"""

import json
from collections.abc import Sequence
from multiprocessing import connection

_COUNT = "blobs"


def send(
    to: connection.Connection, header: dict, blobs: Sequence[bytes | memoryview] = ()
) -> None:
    """Sends one message.

    Raises:
        OSError: the other side has ended.
    """
    to.send_bytes(json.dumps(header | {_COUNT: len(blobs)}).encode())
    for blob in blobs:
        to.send_bytes(blob)


def receive(of: connection.Connection) -> tuple[dict, list[bytes]]:
    """Waits for one message.

    Raises:
        EOFError, OSError: the other side has ended.
    """
    header = json.loads(of.recv_bytes())
    return header, [of.recv_bytes() for _ in range(header.pop(_COUNT))]
