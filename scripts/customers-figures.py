#!/usr/bin/env python3
"""Writes Tests/CustomersTests/Golden/scikit-learn.json: what scikit-learn says of tables that the tests make again, number by
number, from the same seed (Synthetic.swift)."""
import json, os, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers

if len(sys.argv) == 1:
    python = peers.environment("customers", "scikit-learn==1.9.1", "numpy")
    os.execv(python, [python, os.path.abspath(__file__), "run"])

import numpy as np
from sklearn.calibration import _SigmoidCalibration
from sklearn.cluster import KMeans
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import (brier_score_loss, log_loss, mean_absolute_error, mutual_info_score, r2_score,
                             roc_auc_score, silhouette_score)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from splitmix import SplitMix


def outcomes(rows, columns, seed):
    """Rows with a binary label and an amount; see Synthetic.swift."""
    random = SplitMix(seed)
    x, label, amount = np.zeros((rows, columns)), np.zeros(rows, int), np.zeros(rows)
    for i in range(rows):
        for j in range(columns):
            x[i, j] = random.bell()
        if columns > 2:
            x[i, 2] = 0.8 * x[i, 0] + 0.6 * x[i, 2]
        score = 0.3
        for j in range(columns):
            score += x[i, j] * (1.0 if j % 2 == 0 else -0.5) / (1 + j)
        label[i] = 1 if score + 1.5 * random.bell() > 0 else 0
        amount[i] = 3 + 2 * score + random.bell()
    return x, label, amount


def blobs(rows, columns, centres, seed):
    random = SplitMix(seed)
    middle = np.array([[4 * random.bell() for _ in range(columns)] for _ in range(centres)])
    x = np.zeros((rows, columns))
    for i in range(rows):
        c = random.next() % centres
        for j in range(columns):
            x[i, j] = middle[c, j] + random.bell()
    return x


def grown(x, y, leaf, **settings):
    """A tree in which no node's best split has an equal one, so that the order in which features are tried changes nothing; and its
    least leaf."""
    while True:
        trees = [DecisionTreeClassifier(random_state=s, min_samples_leaf=leaf, **settings).fit(x, y) for s in range(8)]
        if all(nodes(t) == nodes(trees[0]) for t in trees):
            return trees[0], leaf
        leaf += 7


def nodes(tree):
    """Preorder: [feature, threshold] of a split, counts of a leaf."""
    t, result = tree.tree_, []
    for i in range(t.node_count):
        counts = [int(round(v * t.n_node_samples[i])) for v in t.value[i][0]]
        if t.children_left[i] < 0:
            result.append({"counts": counts})
        else:
            result.append({"feature": int(t.feature[i]), "threshold": float(t.threshold[i]), "counts": counts})
    return result


x, y, z = outcomes(2000, 6, 11)
figures = {"rows": 2000, "columns": 6, "seed": 11, "positives": int(y.sum()), "checksum": float(x.sum())}


def linear(model):
    return {"weights": model.coef_.ravel().tolist(), "intercept": float(np.ravel(model.intercept_)[0])}


figures["logistic"] = [dict(linear(LogisticRegression(C=c, tol=1e-12, solver="newton-cholesky", max_iter=1000).fit(x, y)), cost=c)
                       for c in (1, 0.01)]
figures["svm"] = [dict(linear(LinearSVC(C=c, dual=False, tol=1e-12, max_iter=100000).fit(x, y)), cost=c) for c in (1, 0.01)]
figures["lasso"] = [dict(linear(LogisticRegression(C=1 / (2000 * l), l1_ratio=1, solver="saga", tol=1e-10, max_iter=100000).fit(x, y)),
                         rate=l) for l in (0.1, 0.03, 0.003)]
figures["least_squares"] = [dict(linear(m.fit(x, z)), ridge=r, r2=r2_score(z, m.predict(x)), mae=mean_absolute_error(z, m.predict(x)))
                            for r, m in ((0, LinearRegression()), (25, Ridge(25)))]
wide, wideLabels, wideAmounts = outcomes(10000, 6, 12)
figures["trees"] = []
for criterion in ("gini", "entropy"):
    for depth, first in ((5, 40), (9, 200)):
        tree, leaf = grown(wide, wideLabels, first, criterion=criterion, max_depth=depth)
        path = tree.cost_complexity_pruning_path(wide, wideLabels)
        alpha = float(np.median(path.ccp_alphas)) * 1.0001
        pruned = DecisionTreeClassifier(criterion=criterion, max_depth=depth, min_samples_leaf=leaf, random_state=0,
                                        ccp_alpha=alpha).fit(wide, wideLabels)
        figures["trees"].append({"criterion": criterion, "depth": depth, "leaf": leaf, "nodes": nodes(tree),
                                 "alphas": path.ccp_alphas.tolist(), "alpha": alpha, "pruned": nodes(pruned)})
three = np.minimum(2, (np.abs(wideAmounts) / 3).astype(int))
tree, leaf = grown(wide, three, 80, max_depth=6)
figures["three_classes"] = {"depth": 6, "leaf": leaf, "nodes": nodes(tree)}

scores = x[:, 0] + 0.5 * x[:, 1]
probabilities = 1 / (1 + np.exp(-scores))
coarse = np.floor(scores * 4) / 4
platt = _SigmoidCalibration().fit(scores, y)
isotonic = IsotonicRegression(out_of_bounds="clip").fit(coarse, y)
figures["evaluation"] = {
    "auc": roc_auc_score(y, scores), "auc_coarse": roc_auc_score(y, coarse), "log_loss": log_loss(y, probabilities),
    "brier": brier_score_loss(y, probabilities), "platt": [float(platt.a_), float(platt.b_)],
    "isotonic": [[float(s), float(isotonic.predict([s])[0])] for s in (-9, -1.5, -0.6, 0.1, 0.25, 1.3, 9)],
    "information_gain_signs": mutual_info_score(y, (x[:, 0] > 0).astype(int)) / np.log(2)}

b = blobs(3000, 4, 5, 7)
best = min((KMeans(5, n_init=10, random_state=s).fit(b) for s in range(3)), key=lambda m: m.inertia_)
loose = min((KMeans(9, n_init=10, random_state=s).fit(b) for s in range(3)), key=lambda m: m.inertia_)
figures["kmeans"] = {"rows": 3000, "columns": 4, "centres": 5, "seed": 7, "checksum": float(b.sum()), "inertia": best.inertia_,
                     "inertia9": loose.inertia_, "silhouette": silhouette_score(b, best.labels_)}
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Tests", "CustomersTests", "Golden", "scikit-learn.json")
os.makedirs(os.path.dirname(out), exist_ok=True)
with open(out, "w") as file:
    json.dump(figures, file)
    file.write("\n")
print(out)
