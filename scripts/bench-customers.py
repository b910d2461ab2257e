#!/usr/bin/env python3
"""The customer models beside scikit-learn, on the same rows: 1 million customers x 20 features by default.

    scripts/bench-customers.py [--rows 1000000] [--columns 20] [--rounds 1] [--threads 2] [--bench .build/release/affinity-bench]

Each round runs ours, then theirs; figures are medians over the rounds. Theirs goes into a virtual environment under /tmp. K-means: 8
clusters, the best of ten starts on both sides. Logistic regression and SVM: C 1, until weights agree to 1e-4. Tree: Gini, depth 5, leaves of at
least 20. Both get two threads unless told otherwise; scikit-learn uses them where it can.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import environment

PEER = r"""
import sys, json, time
import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
raw = open(sys.argv[1], "rb").read()
rows, columns = np.frombuffer(raw, np.int64, 2)
x = np.ascontiguousarray(np.frombuffer(raw, np.float64, rows * columns, 16).reshape(columns, rows).T)
y = np.frombuffer(raw, np.uint8, rows, 16 + rows * columns * 8).astype(int)
z = np.frombuffer(raw, np.float64, rows, 16 + rows * columns * 8 + rows)
out = {}
def measure(name, model, target, result):
    start = time.perf_counter()
    model.fit(x, target)
    out[name] = dict(result(model), seconds=time.perf_counter() - start)
weights = lambda m: {"weights": np.append(np.ravel(m.coef_), m.intercept_).tolist()}
measure("kmeans", KMeans(8, n_init=10, random_state=0), None, lambda m: {"inertia": m.inertia_})
measure("kmeans_one", KMeans(8, n_init=1, random_state=0), None, lambda m: {"inertia": m.inertia_})
measure("logistic", LogisticRegression(C=1, tol=1e-8, max_iter=1000), y, weights)
measure("logistic_newton", LogisticRegression(C=1, tol=1e-8, max_iter=1000, solver="newton-cholesky"), y, weights)
measure("svm", LinearSVC(C=1, dual=False, tol=1e-6, max_iter=10000), y, weights)
measure("least_squares", LinearRegression(), z, weights)
measure("tree", DecisionTreeClassifier(max_depth=5, min_samples_leaf=20, random_state=0), y,
        lambda m: {"leaves": int(m.get_n_leaves()), "root": int(m.tree_.feature[0]), "threshold": float(m.tree_.threshold[0])})
print(json.dumps(out))
"""

MAKE = r"""
import sys
import numpy as np
path, rows, columns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
r = np.random.default_rng(7)
kind = r.integers(0, 8, rows)
x = (r.normal(size=(8, columns)) * 1.2)[kind] + r.normal(size=(rows, columns))
x = (x - x.mean(0)) / x.std(0)
w = r.normal(size=columns) / np.sqrt(columns)
s = x @ w
y = (s + r.logistic(size=rows) > 0).astype(np.uint8)
z = 2 + 3 * s + r.normal(size=rows)
with open(path, "wb") as f:
    f.write(np.array([rows, columns], np.int64).tobytes())
    f.write(np.asfortranarray(x).tobytes("F"))
    f.write(y.tobytes())
    f.write(z.tobytes())
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bench", default=".build/release/affinity-bench")
    parser.add_argument("--only", choices=["ours"], help="without the peer")
    options = parser.parse_args()
    python = environment("customers", "scikit-learn==1.9.1", "numpy")
    count = str(options.threads)
    limits = dict(os.environ, OMP_NUM_THREADS=count, OPENBLAS_NUM_THREADS=count)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table")
        subprocess.check_call([python, "-c", MAKE, path, str(options.rows), str(options.columns)])
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(json.loads(subprocess.check_output([options.bench, "customers", path, count])))
            if options.only != "ours":
                theirs.append(json.loads(subprocess.check_output([python, "-W", "ignore", "-c", PEER, path], env=limits)))
    median = lambda runs, name: statistics.median(r[name]["seconds"] for r in runs)
    if not theirs:
        print(json.dumps({name: median(ours, name) for name in ours[0]}))
        return
    print(f"{options.rows} x {options.columns}, {options.threads} threads, seconds")
    print(f"{'':24}{'ours':>9}{'theirs':>9}{'times':>8}  agreement")
    for name, peer in (("kmeans", "kmeans"), ("kmeans", "kmeans_one"), ("logistic", "logistic"), ("logistic", "logistic_newton"),
                       ("svm", "svm"), ("least_squares", "least_squares"), ("tree", "tree")):
        a, b = median(ours, name), median(theirs, peer)
        own, other = ours[0][name], theirs[0][peer]
        if "weights" in own:
            says = "weights within %.1e" % max(abs(p - q) for p, q in zip(own["weights"], other["weights"]))
        elif "inertia" in own:
            says = "inertia %.4f of theirs" % (own["inertia"] / other["inertia"])
        else:
            same = own["root"] == other["root"] and abs(own["threshold"] - other["threshold"]) < 1e-9
            says = f"leaves {own['leaves']} and {other['leaves']}, root {'the same' if same else 'differs'}"
        print(f"{peer:24}{a:9.3f}{b:9.3f}{b / a:8.1f}  {says}")


main()
