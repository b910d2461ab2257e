#!/usr/bin/env python3
"""Cost against size: users, items and events doubled one after the other, everything else as it was.

    scripts/bench-scaling.py [--doublings 4] [--rounds 3] [--out docs] [--bench .build/release/affinity-bench]
    scripts/bench-scaling.py --redraw docs/scaling.json

Draws docs/scaling-{users,items,events}.svg (log-log, with a line of slope one), keeps the figures in
docs/scaling.json and prints the tables for the README with the growth per doubling (2 is linear). The
plots need matplotlib, which goes into a virtual environment under /tmp, never into the project.
"""
import argparse, json, os, statistics, subprocess, sys

from peers import environment

BASE = {"users": 50_000, "items": 5_000, "events": 2_000_000}


def size(axis, factor):
    shop = dict(BASE)
    shop[axis] *= factor
    # More users are more events too: each does what a user does.
    if axis == "users":
        shop["events"] *= factor
    return shop


def run(options):
    results = {}
    for axis in BASE:
        results[axis] = []
        for step in range(options.doublings + 1):
            shop = size(axis, 2**step)
            arguments = [str(shop[name]) for name in BASE]
            runs = []
            for _ in range(options.rounds):
                text = subprocess.check_output([options.bench, "scaling", *arguments], text=True)
                runs.append(json.loads(text.strip().splitlines()[-1]))
            one = dict(runs[0])
            for key in ("decode_seconds", "apply_seconds", "handover_seconds", "model_seconds", "peak_bytes"):
                one[key] = statistics.median(r[key] for r in runs)
            results[axis].append(one)
            print(axis, shop, f"apply {one['apply_seconds']:.2f} s, model {one['model_seconds']:.2f} s", file=sys.stderr)
    return results


def table(axis, rows):
    print(f"\n| {axis} | events/s applied | model, s | pairs | ns a pair | entries | rows, MB | dictionaries, MB | peak, MB | model x | memory x |")
    print("| --- " * 11 + "|")
    before = None
    for row in rows:
        growth = ("", "") if before is None else (
            f"{row['model_seconds'] / before['model_seconds']:.2f}",
            f"{(row['row_bytes'] + row['dictionary_bytes'] + row['counts_bytes']) / (before['row_bytes'] + before['dictionary_bytes'] + before['counts_bytes']):.2f}")
        print(
            f"| {row[axis]:,} | {row['events'] / (row['apply_seconds'] + row['handover_seconds']):,.0f} | {row['model_seconds']:.2f} "
            f"| {row['pairs']:,} | {row['model_seconds'] / max(1, row['pairs']) * 1e9:.1f} | {row['entries']:,} | {row['row_bytes'] / 1e6:,.0f} "
            f"| {row['dictionary_bytes'] / 1e6:,.0f} | {row['peak_bytes'] / 1e6:,.0f} | {growth[0]} | {growth[1]} |")
        before = row


DRAW = """
import json, sys
import matplotlib
matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "affinity"
import matplotlib.pyplot as plt
results, folder = json.load(open(sys.argv[1])), sys.argv[2]
for axis, rows in results.items():
    x = [row[axis] for row in rows]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, key, mark in (("apply", "apply_seconds", "o-"), ("model", "model_seconds", "s-")):
        left.loglog(x, [row[key] for row in rows], mark, label=name)
    left.loglog(x, [rows[0]["apply_seconds"] * at / x[0] for at in x], ":", color="grey", label="linear")
    left.set_ylabel("seconds, one thread")
    for name, key, mark in (("rows", "row_bytes", "o-"), ("dictionaries", "dictionary_bytes", "s-"), ("counts", "counts_bytes", "^-")):
        right.loglog(x, [max(1, row[key]) / 1e6 for row in rows], mark, label=name)
    right.loglog(x, [rows[0]["row_bytes"] / 1e6 * at / x[0] for at in x], ":", color="grey", label="linear")
    right.set_ylabel("MB")
    for axes in (left, right):
        axes.set_xlabel(axis)
        axes.grid(True, which="both", alpha=.25)
        axes.legend()
    figure.savefig(f"{folder}/scaling-{axis}.svg", metadata={"Date": None})
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--doublings", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", default="docs")
    arguments.add_argument("--bench", default=".build/release/affinity-bench")
    arguments.add_argument("--redraw")
    options = arguments.parse_args()
    os.makedirs(options.out, exist_ok=True)
    kept = os.path.join(options.out, "scaling.json")
    results = json.load(open(options.redraw)) if options.redraw else run(options)
    if not options.redraw:
        with open(kept, "w") as file:
            json.dump(results, file, indent=1)
            file.write("\n")
    for axis, rows in results.items():
        table(axis, rows)
    subprocess.check_call([environment("plots", "matplotlib==3.10.7"), "-c", DRAW, options.redraw or kept, options.out])


main()
