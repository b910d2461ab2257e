# Expected figures of Tests/EvaluationTests/MetricVectorTests.swift, from ranx, scikit-learn and SciPy.
#   pip install ranx scikit-learn scipy && python scripts/metric-vectors.py
import numpy as np
from ranx import Qrels, Run, evaluate
from scipy import stats
from sklearn.metrics import ndcg_score

from splitmix import SplitMix


def lists(seed=7, questions=300, items=60):
    g = SplitMix(seed)
    for _ in range(questions):
        order = list(range(items))
        for i in range(items - 1, 0, -1):
            j = g.below(i + 1)
            order[i], order[j] = order[j], order[i]
        length = 1 + g.below(30)
        relevant = [i for i in range(items) if g.unit() < 0.1] or [g.below(items)]
        yield order[:length], relevant


qrels, run = {}, {}
for q, (ranked, relevant) in enumerate(lists()):
    qrels[f"q{q}"] = {f"d{i}": 1 for i in relevant}
    run[f"q{q}"] = {f"d{i}": 1000.0 - r for r, i in enumerate(ranked)}
names = {"recall": "recall", "precision": "precision", "hit_rate": "hit_rate", "ndcg": "ndcg", "mrr": "mrr", "map": "map"}
ours, theirs = Qrels(qrels), Run(run)
for name, metric in names.items():
    for k in (1, 5, 10, 20):
        print(f'    ("{name}", {k}, {evaluate(ours, theirs, f"{metric}@{k}", make_comparable=False):.17g}),')

# scikit-learn's nDCG wants full score vectors: items that are not listed score below all others and gain nothing there.
total = 0.0
for ranked, relevant in lists():
    truth = np.zeros((1, 60))
    truth[0, relevant] = 1
    score = np.zeros((1, 60))
    for r, i in enumerate(ranked):
        score[0, i] = 1000.0 - r
    k = min(10, len(ranked))
    # Its ideal is over k as well: scale to the ideal over 10.
    best = lambda n: sum(1 / np.log2(r + 2) for r in range(n))
    total += ndcg_score(truth, score, k=k) * best(min(k, len(relevant))) / best(min(10, len(relevant)))
print("sklearn ndcg@10", repr(total / 300))

g = SplitMix(11)
x = [np.floor(g.unit() * 20) / 20 for _ in range(80)]
y = [np.floor(g.unit() * 20) / 20 - 0.05 for _ in range(80)]
print("wilcoxon", repr(stats.wilcoxon(x, y, zero_method="wilcox", correction=False, mode="approx").pvalue))
print("quantiles", [repr(float(np.quantile(x, p))) for p in (0.025, 0.5, 0.975)])
counts = [g.below(50) for _ in range(40)]
v = np.sort(np.array(counts, float))
# Gini as half the relative mean absolute difference.
print("gini", repr(float(np.abs(v[:, None] - v[None, :]).mean() / (2 * v.mean()))))
p = np.array([g.below(9) for _ in range(6)], float)
q = np.array([g.below(9) for _ in range(6)], float)
p, q = p / p.sum(), q / q.sum()
print("divergence", repr(float(stats.entropy(p, 0.99 * q + 0.01 * p))))
