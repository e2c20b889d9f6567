"""Asks SavedModels as a TF1 program does; knows nothing of the package.

    python session.py JOBS

JOBS is a JSON list of `{"folder": ..., "requests": [...]}`. A request names a
signature and its one input, and holds encoded `strings` or the bytes of `pixels` of a
`shape`, all in base64. Prints the answers in the same order, as JSON; each request is
sent by several threads at once, and must have the same answer in all.
"""

import base64
import concurrent.futures
import json
import sys

import numpy as np
import tensorflow as tf

THREADS = 4


def tensor(request):
    if "strings" in request:
        return [base64.b64decode(text) for text in request["strings"]]
    pixels = np.frombuffer(base64.b64decode(request["pixels"]), np.uint8)
    return pixels.reshape(request["shape"])


def answers(job):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], job["folder"])

        def ask(request):
            signature = graph.signature_def[request["signature"]]
            wanted = {name: one.name for name, one in signature.outputs.items()}
            feed = signature.inputs[request["input"]].name
            found = session.run(wanted, {feed: tensor(request)})
            numbers = {k: v.tolist() for k, v in found.items() if k != "label"}
            return numbers | {"label": [word.decode() for word in found["label"]]}

        with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
            asked = [threads.submit(ask, r) for r in job["requests"] * THREADS]
            found = [one.result() for one in asked]
        many = len(job["requests"])
        assert all(found[i] == found[i % many] for i in range(len(found)))
        return found[:many]


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(json.dumps([answers(job) for job in json.load(file)]))
    assert not [name for name in sys.modules if name.startswith("nexperia")]
