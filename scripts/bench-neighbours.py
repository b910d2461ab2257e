#!/usr/bin/env python3
"""Neighbours beside implicit and sparse_dot_topn (both from PyPI), and the table for the README.

    scripts/bench-neighbours.py [--data DIR] [--rounds 5] [--threads 1 2] [--shapes NAME …] [--cpu]
                                [--bench .build/release/affinity-bench]

Rows of users x items in memory to every item's 50 nearest by cosine. DIR holds
online-retail/online_retail.csv.gz; the other matrices are simulated (Sources/Benchmarks/Neighbours.swift)
and written out for the peers, so that all read the same bytes. The peers go into a virtual environment
under /tmp, never into the project. Each round runs ours, then each of theirs; figures are medians over the
rounds, ratios are of medians. "tick" is ours after 1 % more entries, exact, against their refit. MiB is the
peak beyond the matrix, ours without what is kept for pairs between ticks, which is told apart. --cpu takes processor time in place of the wall's (one thread on a busy machine).
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

from peers import environment

SHAPES = ["online-retail", "film", "grocer", "check-in", "sparse"]

PEER = """
import sys, time, json, warnings
warnings.simplefilter("ignore")
import numpy as np, scipy.sparse as sp
tool, path, threads, cpu = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "1"
from implicit.nearest_neighbours import CosineRecommender
from sparse_dot_topn import sp_matmul_topn
with open(path, "rb") as f:
    rows, items, n = np.fromfile(f, np.int64, 3)
    starts = np.fromfile(f, np.int64, rows + 1).astype(np.int32)
    ids = np.fromfile(f, np.uint32, n).astype(np.int32)
A = sp.csr_matrix((np.ones(n, np.float32), ids, starts), shape=(rows, items))

def implicit():
    CosineRecommender(K=50, num_threads=threads).fit(A, show_progress=False)

def sparse_dot_topn():
    X = A.T.tocsr()
    norm = np.sqrt(np.diff(X.indptr)).astype(np.float32)
    norm[norm == 0] = 1
    X = (sp.diags(1 / norm) @ X).tocsr().astype(np.float32)
    sp_matmul_topn(X, X.T.tocsr(), top_n=51, n_threads=threads if threads > 1 else None)

def status(key):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(key + ":"))

open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
clock = time.process_time if cpu else time.perf_counter
start = clock()
globals()[tool]()
print(json.dumps({"seconds": clock() - start, "MiB": (status("VmHWM") - before) / 1024}))
"""


def main():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = os.path.dirname(os.path.abspath(__file__))
    arguments.add_argument("--data", default=os.path.join(here, "..", "..", "shared", "data"))
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--shapes", nargs="+", default=SHAPES)
    arguments.add_argument("--cpu", action="store_true")
    arguments.add_argument("--bench", default=".build/release/affinity-bench")
    arguments = arguments.parse_args()
    python = environment("peers-neighbours", "implicit==0.7.3", "sparse_dot_topn==1.2.0")
    matrices = os.path.join(tempfile.gettempdir(), "affinity-matrices")
    os.makedirs(matrices, exist_ok=True)
    shared = dict(os.environ, AFFINITY_SHARED=os.path.dirname(os.path.abspath(arguments.data)))

    def ours(shape, threads):
        command = [arguments.bench, "neighbours", "--shape", shape, "--threads", str(threads),
                   "--repeat", "1", "--dump", matrices] + (["--cpu"] if arguments.cpu else [])
        line = subprocess.check_output(command, env=shared, text=True).splitlines()[-1].split()
        if line[0] != shape or len(line) < 10:
            return None
        return {"scratch": float(line[3]), "pairs": int(line[5]), "sum": float(line[6]),
                "MiB": float(line[7]) - float(line[9]), "tick": float(line[8]),
                "stored": float(line[9])}

    def theirs(tool, shape, threads):
        limits = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
        return json.loads(subprocess.check_output(
            [python, "-c", PEER, tool, os.path.join(matrices, shape + ".bin"), str(threads),
             "1" if arguments.cpu else "0"], env=limits, text=True))

    print("| matrix | threads | ours s | ns a pair | tick s | implicit s | sparse_dot_topn s "
          "| of implicit | of sdt | tick of implicit | MiB ours / implicit / sdt | stored | sum of cosines |")
    print("|" + " --- |" * 13)
    for shape in arguments.shapes:
        for threads in arguments.threads:
            rounds = []
            for _ in range(arguments.rounds):
                mine = ours(shape, threads)
                if mine is None:
                    break
                rounds.append((mine, theirs("implicit", shape, threads),
                               theirs("sparse_dot_topn", shape, threads)))
            if not rounds:
                print(f"{shape}: no data, skipped", file=sys.stderr)
                break
            def middle(peer, key):
                return statistics.median(r[peer][key] for r in rounds)
            scratch, tick = middle(0, "scratch"), middle(0, "tick")
            implicit, sdt = middle(1, "seconds"), middle(2, "seconds")
            print(f"| {shape} | {threads} | {scratch:.3f} | {scratch * 1e9 / rounds[0][0]['pairs']:.1f} "
                  f"| {tick:.3f} | {implicit:.3f} | {sdt:.3f} | {implicit / scratch:.1f}x "
                  f"| {sdt / scratch:.1f}x | {implicit / tick:.1f}x "
                  f"| {middle(0, 'MiB'):.0f} / {middle(1, 'MiB'):.0f} / {middle(2, 'MiB'):.0f} "
                  f"| {middle(0, 'stored'):.0f} | {rounds[0][0]['sum']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
