#!/usr/bin/env python3
"""Topic to state beside a bare C++ consumer, quixstreams and bytewax (both from PyPI), and the table for the README.

    scripts/bench-consumers.py [--events 1280000] [--rounds 5] [--peer-events 200000] [--no-peers] [--binary .build/release/affinityd]

One embedded broker with 64 partitions, 200-byte events of the simulated shop, one event an item. Each round
lets every consumer read the topic from its beginning, one after the other: Tests/baseline/consume.cpp (librdkafka,
lengths only; then with simdjson reading six fields), `affinityd run` (rows of all relations and rules, digest, positions;
no lists), quixstreams counting events, bytewax counting events per user. The peers stop after --peer-events. The rate is
records over the time from the first record to the last. Medians over the rounds; ratios are of medians. The
peers go into a virtual environment under /tmp, never into the project.
"""
import argparse, os, re, signal, statistics, subprocess, sys, tempfile, time

from peers import environment

QUIX = """
import os, sys, time, logging
broker, wanted, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
from quixstreams import Application
from quixstreams.models.topics import TopicAdmin, TopicConfig
# The embedded broker answers no questions about a topic's configuration.
TopicAdmin.inspect_topics = lambda self, names, timeout=None: {
    name: TopicConfig(num_partitions=64, replication_factor=1, extra_config={}) for name in names}
app = Application(broker_address=broker, consumer_group="quix-%d" % os.getpid(), auto_offset_reset="earliest",
                  loglevel="ERROR", auto_create_topics=False, state_dir=folder)
topic = app.topic("shop.events", value_deserializer="json")
seen, first = 0, 0.0
def count(event):
    global seen, first
    if seen == 0: first = time.monotonic()
    seen += 1
    if seen == wanted:
        print(int(seen / (time.monotonic() - first)), flush=True)
        os._exit(0)
app.dataframe(topic).update(count)
app.run()
"""

BYTEWAX = """
import os, sys, time
broker, wanted = sys.argv[1], int(sys.argv[2])
import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main
class Nowhere(StatelessSinkPartition):
    def write_batch(self, items): pass
class Sink(DynamicSink):
    def build(self, step_id, worker_index, worker_count): return Nowhere()
seen, first = 0, 0.0
def count(state, message):
    global seen, first
    if seen == 0: first = time.monotonic()
    seen += 1
    if seen == wanted:
        print(int(seen / (time.monotonic() - first)), flush=True)
        os._exit(0)
    state = (state or 0) + 1
    return state, state
flow = Dataflow("count")
stream = op.input("in", flow, KafkaSource([broker], ["shop.events"], tail=False, batch_size=1000))
keyed = op.key_on("key", stream, lambda message: message.key.decode())
op.output("out", op.stateful_map("count", keyed, count), Sink())
run_main(flow)
"""


def ours(binary, address, folder, name, events):
    log = os.path.join(folder, name + ".log")
    settings = {
        "kafka.bootstrap.servers": address, "kafka.group.id": name, "kafka.session.timeout.ms": "6000",
        "delivery": "at_least_once", "recommend.enabled": "false", "model.interval": "1h",
        "metrics.file": os.path.join(folder, name + ".jsonl"), "log.file": log,
    }
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    daemon = subprocess.Popen([binary, "run"] + flags)
    try:
        for _ in range(1200):
            time.sleep(0.1)
            text = open(log).read() if os.path.exists(log) else ""
            found = re.search(r"caught up: (\d+) records in .*\((\d+)/s\)", text)
            if found:
                assert int(found[1]) == events, found[0]
                return int(found[2])
        sys.exit(text)
    finally:
        daemon.send_signal(signal.SIGKILL)
        daemon.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_280_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-events", type=int, default=200_000)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--binary", default=".build/release/affinityd")
    options = parser.parse_args()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    binary = options.binary
    python = None if options.no_peers else environment(
        "peers-consumers", "quixstreams>=3.20,<4", "bytewax[kafka]>=0.21,<0.22")
    with tempfile.TemporaryDirectory() as folder:
        baseline = os.path.join(folder, "consume")
        subprocess.check_call(
            ["g++", "-O2", "-o", baseline, "Tests/baseline/consume.cpp", "-lrdkafka", "-lsimdjson"])
        log = os.path.join(folder, "log.jsonl")
        subprocess.check_call([binary, "simulate", "--events", str(options.events), "--single", "--out", log])
        bootstrap = os.path.join(folder, "bootstrap")
        broker = subprocess.Popen(
            [binary, "broker", "--partitions", "64", "--bootstrap-file", bootstrap], stdout=subprocess.DEVNULL)
        try:
            while not os.path.exists(bootstrap) or os.path.getsize(bootstrap) == 0:
                time.sleep(0.2)
            address = open(bootstrap).read().strip()
            subprocess.check_call([binary, "produce", log, "-b", address], stderr=subprocess.DEVNULL)

            def bare(*more):
                text = subprocess.check_output(
                    [baseline, address, "shop.events", str(options.events), *more], text=True)
                return int(re.search(r"(\d+) records/s", text)[1])

            def peer(program):
                text = subprocess.run(
                    [python, "-c", program, address, str(options.peer_events), folder], text=True,
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300).stdout
                return int(text.split()[-1])

            runs = {"C++, lengths only": lambda n: bare("lengths"), "C++, simdjson, six fields": lambda n: bare(),
                    "affinityd, all state": lambda n: ours(binary, address, folder, f"affinity-{n}", options.events)}
            if python:
                runs["quixstreams, one counter"] = lambda n: peer(QUIX)
                runs["bytewax, a counter per user"] = lambda n: peer(BYTEWAX)
            rates = {name: [] for name in runs}
            for n in range(options.rounds):
                for name, run in runs.items():
                    rates[name].append(run(n))
                    print(f"round {n + 1}: {name}: {rates[name][-1]}/s", file=sys.stderr, flush=True)
        finally:
            broker.kill()
            broker.wait()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    mine = medians["affinityd, all state"]
    print("| consumer | events/s | affinityd is |\n| --- | --- | --- |")
    for name, median in medians.items():
        ratio = mine / median
        print(f"| {name} | {median / 1e6:.3g} M | {ratio:.2f}x |" if ratio < 5 else f"| {name} | {median / 1e6:.3g} M | {ratio:.0f}x |")


main()
