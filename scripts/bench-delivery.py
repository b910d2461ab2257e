#!/usr/bin/env python3
"""exactly_once beside at_least_once, on a broker that is not ours.

    scripts/bench-delivery.py --brokers HOST:PORT [--events 400000] [--rounds 3] [--rate R] [--seconds 20]

Two figures of either mode, in turn. Topic to state: a daemon without lists reads --events from their beginning. Event
to recommendation visible, with no linger: events at --rate (by default half of what the mode with lists reaches in a burst),
from the record's timestamp to its recommendation in the hands of a read_committed consumer (confluent-kafka), p50 and p99.
Topics have a prefix of this run, and are deleted in the end. The broker, the producer, the daemon and the reader share
the machine, so take the ratios.
"""
import argparse, os, re, statistics, subprocess, sys, tempfile, threading, time

from live import Daemon, ROOT, create_topics, delete_topics, say, with_client

MODES = ("at_least_once", "exactly_once")


def simulate(options, path, events):
    subprocess.check_call([options.binary, "simulate", "--events", str(events), "--users", "20000", "--items", "2000",
                           "--out", path])


def produce(options, daemon, path, *more):
    subprocess.run([options.binary, "produce", path, "-b", options.brokers, "--topic", daemon.topics["events"],
                    "-X", "linger.ms=0", *more], check=True, stderr=subprocess.DEVNULL)


def world(options, folder, name, mode, settings):
    """A daemon with topics of its own."""
    own = os.path.join(folder, f"{name}-{mode}-{time.monotonic_ns()}")
    os.mkdir(own)
    prefix = "bench-" + os.path.basename(own)
    return Daemon(options.binary, own, options.brokers, {
        "delivery": mode, "state.directory": "off", "model.interval": "1h", "metrics.interval": "500ms", **settings},
        prefix=prefix)


def topic_to_state(options, folder, log):
    rates = {mode: [] for mode in MODES}
    writer = world(options, folder, "state", "log", {})
    admin = create_topics(options, writer)
    produce(options, writer, log)
    for n in range(options.rounds):
        for mode in MODES:
            daemon = world(options, folder, f"state{n}", mode, {"recommend.enabled": "false"})
            # The same topics, another group.
            text = open(daemon.configuration).read().replace(daemon.topics["events"].rsplit(".", 1)[0] + ".",
                                                             writer.topics["events"].rsplit(".", 1)[0] + ".")
            open(daemon.configuration, "w").write(text)
            daemon.start()
            try:
                rates[mode].append(int(daemon.wait_for(r"caught up: \d+ records in .*\((\d+)/s\)", 120)[1]))
            finally:
                daemon.kill()
            say(f"topic to state, {mode}: {rates[mode][-1]} events/s")
    delete_topics(admin, writer)
    return {mode: statistics.median(values) for mode, values in rates.items()}


def visible(options, folder, history, live, mode, rate):
    """Milliseconds from each event to its recommendation, sorted."""
    from confluent_kafka import Consumer, TopicPartition
    daemon = world(options, folder, "latency", mode, {"recommend.refresh": "1s"})
    admin = create_topics(options, daemon)
    daemon.start()
    waits, done = [], threading.Event()
    try:
        produce(options, daemon, history)
        daemon.wait_for("m-000001", 60)
        time.sleep(2)
        sent = {}

        def read(topic, take):
            consumer = Consumer({"bootstrap.servers": options.brokers, "group.id": "bench", "enable.auto.commit": False,
                                 "isolation.level": "read_committed", "fetch.wait.max.ms": 5})
            consumer.assign([TopicPartition(topic, p, consumer.get_watermark_offsets(TopicPartition(topic, p), 20)[1])
                             for p in range(options.partitions)])
            while not done.is_set():
                message = consumer.poll(0.1)
                if message and not message.error():
                    take(message)
            consumer.close()

        def take_event(message):
            sent[f"{message.topic()}-{message.partition()}-{message.offset()}"] = message.timestamp()[1]

        arrived = {}

        def take_list(message):
            value = message.value()
            if value:
                arrived[value[7:value.index(b'"', 7)].decode()] = time.time() * 1000

        readers = [threading.Thread(target=read, args=(daemon.topics["events"], take_event)),
                   threading.Thread(target=read, args=(daemon.topics["recommendations"], take_list))]
        for reader in readers:
            reader.start()
        time.sleep(1)
        produce(options, daemon, live, *(["--rate", str(rate)] if rate else []))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            time.sleep(1)
            if daemon.metrics().get("lag_records") == 0 and not daemon.metrics().get("messages_in_flight"):
                break
        time.sleep(2)
        fastest = max(float(found) for found in re.findall(
            r'"lists_per_second":([0-9.]+)', open(daemon.settings["metrics.file"]).read()))
        done.set()
        for reader in readers:
            reader.join()
        waits = sorted(arrived[name] - at for name, at in sent.items() if name in arrived)
    finally:
        done.set()
        daemon.kill()
        delete_topics(admin, daemon)
    return waits, fastest


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", default=os.environ.get("AFFINITY_TEST_BROKERS"), metavar="HOST:PORT")
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, help="events per second; default: half of what exactly_once reaches")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--binary", default=".build/release/affinityd")
    options = parser.parse_args()
    if not options.brokers:
        parser.error("--brokers HOST:PORT, or AFFINITY_TEST_BROKERS")
    with_client()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="affinity-delivery-") as folder:
        log, history, live = (os.path.join(folder, name) for name in ("log.jsonl", "history.jsonl", "live.jsonl"))
        if options.events:
            simulate(options, log, options.events)
            state = topic_to_state(options, folder, log)
            print(f"topic to state: at_least_once {state['at_least_once']:.0f} events/s, exactly_once "
                  f"{state['exactly_once']:.0f}, ratio {state['exactly_once'] / state['at_least_once']:.3f}")
        simulate(options, history, 50_000)
        rate = options.rate
        if not rate:
            simulate(options, live, 60_000)
            _, fastest = visible(options, folder, history, live, "exactly_once", None)
            rate = int(fastest / 2)
            print(f"exactly_once, a burst: {fastest:.0f} lists/s; half of it is asked for")
        simulate(options, live, rate * options.seconds)
        for mode in MODES:
            waits, _ = visible(options, folder, history, live, mode, rate)
            print(f"event to recommendation visible at {rate} events/s, {mode}: {len(waits)} lists, p50 "
                  f"{waits[len(waits) // 2]:.0f} ms, p99 {waits[len(waits) * 99 // 100]:.0f} ms, longest {waits[-1]:.0f} ms")


main()
