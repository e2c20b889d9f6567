"""Each way of making one judge of many, against somebody else's answer."""

import itertools

import numpy as np
import pytest
from scipy import optimize, special
from sklearn import ensemble as sklearn_ensemble
from sklearn import linear_model, metrics, tree

from nexperia_tf import errors
from nexperia_tf.study import features, stacking


@pytest.fixture(scope="module")
def library():
    """Scores of six members of unlike quality, shape `(6, 300)`, and the truth."""
    rng = np.random.default_rng(3)
    truth = (rng.random(300) < 0.3).astype(int)
    skill = np.array([1.5, 1.2, 1.0, 0.4, 0.1, -0.5])[:, None]
    logits = skill * (2 * truth - 1) + rng.normal(size=(6, 300))
    return special.expit(logits), truth


def _greedy(scores, truth, rounds):
    """Caruana's selection, as slowly as it can be written."""
    chosen, path = [], []
    for _ in range(rounds):
        options = []
        for member in range(len(scores)):
            mean = np.mean([scores[m] for m in [*chosen, member]], axis=0)
            auc = metrics.roc_auc_score(truth, mean)
            options.append((round(auc, 12), -metrics.log_loss(truth, mean), -member))
        best = max(options)
        chosen.append(-best[2])
        path.append(best[:2])
    kept = path.index(max(path)) + 1
    return np.bincount(chosen[:kept], minlength=len(scores)) / kept


def test_greedy_selection_takes_who_helps_most(library):
    scores, truth = library
    weights = stacking.select(scores, truth, rounds=12)
    np.testing.assert_allclose(weights, _greedy(scores, truth, 12))
    assert weights.sum() == pytest.approx(1)


def test_greedy_selection_is_no_worse_than_its_best_member(library):
    scores, truth = library
    chosen = stacking.select(scores, truth) @ scores
    best = max(metrics.roc_auc_score(truth, one) for one in scores)
    assert metrics.roc_auc_score(truth, chosen) >= best


def test_two_rounds_find_the_best_pair_that_holds_the_best_member(library):
    scores, truth = library
    aucs = [metrics.roc_auc_score(truth, one) for one in scores]
    first = int(np.argmax(aucs))
    pairs = [(first, other) for other in range(len(scores))]
    means = [metrics.roc_auc_score(truth, scores[list(pair)].mean(0)) for pair in pairs]
    weights = stacking.select(scores, truth, rounds=2)
    expected = np.bincount(pairs[int(np.argmax(means))], minlength=6) / 2
    np.testing.assert_allclose(weights, expected)


def test_stacking_is_scikit_learns_where_no_weight_would_be_negative(library):
    scores, truth = library
    logits = special.logit(scores[:3])
    found = stacking.stack(logits, truth)
    own = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    own.fit(logits.T, truth)
    assert own.coef_.min() > 0
    np.testing.assert_allclose(found.weights, own.coef_[0], atol=1e-5)
    assert found.bias == pytest.approx(own.intercept_[0], abs=1e-5)


def test_stacking_finds_the_best_of_all_sets_of_members(library):
    scores, truth = library
    logits = special.logit(scores)
    found = stacking.stack(logits, truth)

    def loss(weights, bias):
        margins = np.where(truth == 1, 1, -1) * (weights @ logits + bias)
        return np.logaddexp(0, -margins).sum() + 0.5 * np.sum(np.square(weights))

    best = np.inf
    for size in range(1, 7):
        for members in itertools.combinations(range(6), size):
            own = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
            own.fit(logits[list(members)].T, truth)
            if own.coef_.min() < 0:
                continue
            weights = np.zeros(6)
            weights[list(members)] = own.coef_[0]
            best = min(best, loss(weights, own.intercept_[0]))
    assert min(found.weights) == 0  # the member that is wrong has no say
    assert loss(np.array(found.weights), found.bias) == pytest.approx(best, rel=1e-8)


def test_stacking_of_nothing_but_noise_turned_round_is_refused():
    truth = np.arange(40) % 2
    with pytest.raises(errors.BadInput, match="better than chance"):
        stacking.stack(np.stack([-3.0 * (2 * truth - 1)]), truth)


def test_a_nearly_linear_loss_gives_the_weights_of_least_squares_without_sign(library):
    # Scaled down, the logistic loss is a parabola: scipy's nnls solves that one.
    scores, truth = library
    logits = special.logit(scores)
    centred = logits - logits.mean(axis=1, keepdims=True)
    penalty = 1e5  # weights stay so small that the loss is linear in them
    found = stacking.stack(centred, truth, penalty=penalty)
    share = truth.mean()
    slope = centred @ (truth - share)
    system = np.sqrt(penalty) * np.eye(6)
    own, _ = optimize.nnls(system, slope / np.sqrt(penalty))
    np.testing.assert_allclose(found.weights, own, rtol=5e-3, atol=1e-9)


def test_a_vote_counts_the_members_that_call_a_defect(library):
    scores, _ = library
    counted = [sum(score >= 0.5 for score in device) / 6 for device in scores.T]
    np.testing.assert_array_equal(stacking.vote(scores), counted)
    np.testing.assert_array_equal(
        stacking.vote(scores[:2], [0.9, 0.1])[:5],
        [(int(s[0] >= 0.9) + int(s[1] >= 0.1)) / 2 for s in scores[:2, :5].T],
    )


def _devices(count, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 6)).astype(np.float32)
    label = (values[:, 0] + 0.5 * values[:, 1] + rng.normal(size=count) > 0.8) * 1
    names = np.array([f"{seed} {i}" for i in range(count)])
    return features.Features(names, label.astype(np.int8), values, {})


def test_boosting_stops_where_scikit_learns_own_is_best_on_validation():
    train, validation = _devices(300, 0), _devices(200, 1)
    found = stacking.boost(train, validation, stumps=40)
    aucs = []
    for stumps in range(1, 41):
        own = sklearn_ensemble.AdaBoostClassifier(
            tree.DecisionTreeClassifier(max_depth=1, max_features="sqrt"),
            n_estimators=stumps,
            learning_rate=0.5,
            random_state=0,
        ).fit(train.values, train.label)
        decided = own.decision_function(validation.values)
        aucs.append(metrics.roc_auc_score(validation.label, decided))
        if stumps == found.stumps:
            np.testing.assert_allclose(found.logits(validation.values), decided)
    # Sums in another order tie where these differ in the last bit.
    assert aucs[found.stumps - 1] == pytest.approx(max(aucs), abs=1e-4)
    assert found.validation_auc == pytest.approx(max(aucs))


def test_members_without_scores_are_refused():
    with pytest.raises(errors.BadInput, match=r"shape \(3,\)"):
        stacking.select(np.zeros(3), np.array([0, 1, 1]))
    with pytest.raises(errors.BadInput, match="both classes"):
        stacking.select(np.full((2, 3), 0.5), np.zeros(3))
