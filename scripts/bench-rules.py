#!/usr/bin/env python3
"""Itemsets and rules beside PyFIM (C, from PyPI) and LCM, one thread, and the table for the README.

    scripts/bench-rules.py [--data DIR] [--rounds 5] [--bench .build/release/affinity-bench] [--lcm PATH]

DIR holds online-retail/online_retail.csv.gz, mushroom/mushroom.dat, t10i4d100k/t10i4d100k.dat.gz.
PyFIM goes into a virtual environment under /tmp, never into the project. Each round runs ours, then
each of theirs; figures are medians over the rounds, ratios of medians. Theirs counts what the Python
call takes with the baskets in memory; ours what mining and writing the itemsets out takes, and
everything from baskets to rules with support, confidence, lift, leverage and conviction.

PATH is the program `lcm` of LCM 5.3 (Takeaki Uno; `gcc -O3 -o lcm lcm.c -lm` in its folder), which is for
academic use and no package: without it its column stays empty. It counts the itemsets, writes none, and reads
the file itself: its time is the process's, ours beside it (`with reading`) has the time of our reading added.
"""
import argparse, csv, gzip, json, math, os, statistics, subprocess, tempfile, time

from peers import environment

PEER = """
import sys, time, json, fim
baskets = [list(map(int, line.split())) for line in open(sys.argv[1])]
count = int(sys.argv[2])
out = {}
for name in ("eclat", "fpgrowth"):
    start = time.perf_counter()
    found = getattr(fim, name)(baskets, target="s", supp=-count)
    out[name] = time.perf_counter() - start
    out["itemsets"] = len(found)
    del found
    start = time.perf_counter()
    rules = getattr(fim, name)(baskets, target="r", supp=-count, conf=20, mode="o", report="aC")
    out[name + " rules"] = time.perf_counter() - start
    out["rules"] = len(rules)
    del rules
print(json.dumps(out))
"""


def online_retail(path, into):
    baskets, ids = {}, {}
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as source:
        for row in csv.DictReader(source):
            if row["InvoiceNo"].startswith("C"):
                continue
            if float(row["UnitPrice"]) * int(row["Quantity"]) > 0:
                baskets.setdefault(row["InvoiceNo"], set()).add(ids.setdefault(row["StockCode"], len(ids)))
    with open(into, "w") as out:
        for basket in baskets.values():
            out.write(" ".join(map(str, sorted(basket))) + "\n")


def lcm(program, file, count):
    """Seconds of the process, and itemsets (the empty one is no itemset)."""
    start = time.perf_counter()
    told = subprocess.run([program, "F", file, str(count)], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    return {"lcm": seconds, "itemsets": int(told.stdout.split()[0]) - 1}


def geometric(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", default=os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data"))
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--bench", default=".build/release/affinity-bench")
    arguments.add_argument("--lcm")
    options = arguments.parse_args()
    python = environment("peers", "pyfim==6.28")
    folder = tempfile.mkdtemp(prefix="affinity-bench-rules-")

    def file(name):
        return os.path.join(folder, name)

    online_retail(os.path.join(options.data, "online-retail", "online_retail.csv.gz"), file("online.dat"))
    with gzip.open(os.path.join(options.data, "t10i4d100k", "t10i4d100k.dat.gz")) as source:
        open(file("t10.dat"), "wb").write(source.read())
    with open(os.path.join(options.data, "mushroom", "mushroom.dat"), "rb") as source:
        open(file("mushroom.dat"), "wb").write(source.read())
    subprocess.check_call([options.bench, "rules", "simulate", file("simulated.dat")])

    rows = [
        ("Online Retail 1 %", "online.dat", 200),
        ("Online Retail 0.5 %", "online.dat", 100),
        ("T10I4D100K 0.1 %", "t10.dat", 100),
        ("mushroom 20 %", "mushroom.dat", 1625),
        ("simulated, 500,000 orders, 0.1 %", "simulated.dat", 500),
        ("simulated, 500,000 orders, 0.02 %", "simulated.dat", 100),
    ]
    print("| data | itemsets | ours, ms | PyFIM eclat | fpgrowth | ratio | with reading | LCM | ratio | rules | ours, ms | PyFIM | ratio | p and q, ms a million |")
    print("| --- " * 14 + "|")
    ratios, rule_ratios = [], []
    for name, data, count in rows:
        ours, theirs, third = [], [], []
        for _ in range(options.rounds):
            text = subprocess.check_output([options.bench, "rules", file(data), str(count), "3"], text=True)
            ours.append(json.loads(text.strip().splitlines()[-1]))
            theirs.append(json.loads(subprocess.check_output([python, "-c", PEER, file(data), str(count)], text=True)))
            if options.lcm:
                third.append(lcm(options.lcm, file(data), count))

        def middle(runs, key):
            return statistics.median(run[key] for run in runs) * 1e3

        mine, rules = middle(ours, "mine"), middle(ours, "rules_seconds")
        eclat, growth = middle(theirs, "eclat"), middle(theirs, "fpgrowth")
        peer = min(middle(theirs, "eclat rules"), middle(theirs, "fpgrowth rules"))
        million = middle(ours, "test_seconds") / max(1, ours[0]["family"]) * 1e6
        # PyFIM leaves out an item that is in every basket.
        agree = abs(ours[0]["itemsets"] - theirs[0]["itemsets"]) <= 1
        ratio, other = min(eclat, growth) / mine, " | | "
        if third:
            reading, counted = mine + middle(ours, "read"), middle(third, "lcm")
            agree = agree and third[0]["itemsets"] == ours[0]["itemsets"]
            ratio = min(ratio, counted / reading)
            other = f"{reading:.1f} | {counted:.1f} | {counted / reading:.1f}"
        ratios.append(ratio)
        rule_ratios.append(peer / rules)
        print(
            f"| {name} | {ours[0]['itemsets']:,}{'' if agree else ' (differs!)'} | {mine:.1f} | {eclat:.1f} | {growth:.1f} "
            f"| {min(eclat, growth) / mine:.1f} | {other} | {ours[0]['rules']:,} | {rules:.1f} | {peer:.1f} | {peer / rules:.1f} | {million:.0f} |",
            flush=True)
    print(f"\ngeometric mean of the ratios to the fastest peer: itemsets {geometric(ratios):.1f}, rules {geometric(rule_ratios):.1f}")


main()
