"""Claim: what `nexperia audit` lists, decided by the truth, makes a better model.

Decides each picture of suspects.csv as somebody would who is never wrong, and writes
decisions.csv as the review page does. docs/labels.md shows the loop around it.

    python benchmarks/perfect_reviewer.py audit/suspects.csv truth.csv decisions.csv
"""

import sys

from nexperia_tf import files, labels
from nexperia_tf.data import tables

HEADER = ("path", "decision", "value", "who", "when", "note")


def main(suspects: str, truth: str, out: str) -> None:
    _, known = tables.read(truth, ("image_id", "label", "defect_type"))
    truth_of = {cells["image_id"]: cells for _, cells in known}
    rows, changed = [], 0
    for _, listed in tables.read(suspects, ("image_id", "path", "label"))[1]:
        true = truth_of.get(listed["image_id"])
        if true is None or true["label"] not in labels.NAMES:
            rows.append((listed["path"], "unsure", "", "truth", "", listed["kind"]))
        elif true["label"] == listed["label"].partition(":")[0]:
            rows.append((listed["path"], "keep", "", "truth", "", listed["kind"]))
        else:
            value = ":".join(filter(None, (true["label"], true["defect_type"])))
            copies = filter(None, listed["copies"].split("; "))
            for path in (listed["path"], *copies):
                rows.append((path, "relabel", value, "truth", "", listed["kind"]))
            changed += 1
    files.write_csv(out, HEADER, dict.fromkeys(rows))
    print(f"{len(rows)} looked at, {changed} relabelled: {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
