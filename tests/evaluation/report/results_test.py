import json

from nexperia_tf.statistics import metrics

CONTRACT = {"value", "low", "high"}


def test_the_keys_are_those_of_the_contract(report):
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["schema"] == 1
    assert (found["n"], found["n_defect"]) == (900, 300)
    assert {*CONTRACT, "method"} <= found["auc"].keys()
    assert found["auc"]["method"] == "newcombe-5-by-group"
    assert {"average_precision", "brier", "slices"} <= found.keys()
    for row, tpr in zip(found["fpr_at_tpr"], metrics.TPR_TARGETS, strict=True):
        assert row["tpr"] == tpr
        assert {"fpr", "threshold", "misses"} <= row.keys()
    point = found["operating_point"]
    assert {"target", "threshold", "guaranteed", "defects_needed"} <= point.keys()
    assert point["escape_rate"].keys() >= CONTRACT <= point["overkill_rate"].keys()
    assert "runs" not in found
