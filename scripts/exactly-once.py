#!/usr/bin/env python3
"""Exactly once, held against a broker that is not ours: the daemon is killed again and again while events come in.

    scripts/exactly-once.py --brokers HOST:PORT [--kills 50] [--rate 300] [--seed 1] [--dynamic] [--keep]

The broker (AFFINITY_TEST_BROKERS, where --brokers is not given) must know transactions and let topics be created: all
names begin with a prefix of this run, and are deleted in the end. Events of the simulated shop are produced at --rate
the whole time, letters that are no events and erasures among them. `affinityd run` in `delivery: exactly_once` with
a snapshot every second and three models is ended by SIGKILL --kills times, at random instants: while it starts, restores or
runs. A read_committed consumer (confluent-kafka, into a virtual environment under /tmp) reads all output topics along.
In the end, after a last start and a stop by SIGTERM, it must have seen

  - every recommendation id once; none missing against a plain replay of the topic with the recorded ticks, and each
    list with the bytes that replay gives it;
  - every neighbours, rules, popular, models and receipts message of that replay, once and with its bytes;
  - one dead letter for each that the replay has;
  - committed offsets at the end of every partition, and no transaction left open (last stable offset = end).

Exit status 0 if so, 1 if not (the files are kept and named), 2 for wrong use.
"""
import argparse, os, time

from live import (Daemon, Failure, OUTPUTS, Reader, compare_with_replay, create_topics, delete_topics, enough_events, judge,
                  kill_at_random, make_log, produce, say, wait_for_the_end, with_client)


def check_offsets(options, daemon, admin):
    """The group's offsets stand at the end of the events, and no transaction is open anywhere."""
    from confluent_kafka import Consumer, IsolationLevel, TopicPartition
    from confluent_kafka.admin import OffsetSpec
    consumer = Consumer({"bootstrap.servers": options.brokers, "group.id": daemon.group, "enable.auto.commit": False})
    try:
        events = [TopicPartition(daemon.topics["events"], partition) for partition in range(options.partitions)]
        for place in consumer.committed(events, 20):
            end = consumer.get_watermark_offsets(place, 20)[1]
            if max(0, place.offset) != end:
                raise Failure(f"{place.topic} {place.partition}: committed {place.offset}, end {end}")
        open_ones = []
        for name in OUTPUTS:
            topic = daemon.topics[name]
            for partition in consumer.list_topics(topic, 20).topics[topic].partitions:
                place = TopicPartition(topic, partition)
                end = consumer.get_watermark_offsets(place, 20)[1]
                futures = admin.list_offsets({place: OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_COMMITTED)
                stable = futures[place].result(20).offset
                if stable != end:
                    open_ones.append(f"{topic} {partition}: last stable offset {stable}, end {end}")
        if open_ones:
            raise Failure("a transaction is open: " + "; ".join(open_ones))
    finally:
        consumer.close()


def run(options, folder):
    prefix = f"affinity-{os.getpid()}-{int(time.time())}"
    kafka = {"session.timeout.ms": str(options.session_timeout)}
    if options.dynamic:
        # Who is killed while joining holds the group for this long.
        kafka["max.poll.interval.ms"] = "10000"
    else:
        kafka["group.instance.id"] = prefix
    daemon = Daemon(options.binary, folder, options.brokers, {"delivery": "exactly_once", "model.interval": "300ms"}, kafka, prefix)
    admin = create_topics(options, daemon)
    log = os.path.join(folder, "log.jsonl")
    producing = None
    try:
        make_log(options, log)
        reader = Reader(options.brokers, daemon, OUTPUTS + ("events",))
        daemon.start()
        producing = produce(options.brokers, daemon, log, options.rate)
        daemon.wait_for("m-000001", options.patience)
        say(f"records on their way to {prefix}.events, first model made; killing")
        stages = kill_at_random(daemon, producing, options)
        wait_for_the_end(daemon, reader, producing, options)
        daemon.stop()
        reader.finish()
        check_offsets(options, daemon, admin)
        uncommitted = Reader(options.brokers, daemon, OUTPUTS, isolation="read_uncommitted")
        uncommitted.finish()
        hidden = uncommitted.count - sum(len(reader.records[name]) for name in OUTPUTS)
        found = compare_with_replay(daemon, reader, folder, repeats_allowed=False)
    finally:
        daemon.close()
        if producing and producing.poll() is None:
            producing.kill()
        if not options.keep:
            delete_topics(admin, daemon)
    print("\n".join(found))
    print(f"kills: {options.kills}, of them {', '.join(f'{n} while {stage}' for stage, n in stages.items())}; "
          f"{hidden} messages of transactions that were never committed, seen by no read_committed consumer")
    print("exactly once: HOLDS")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", default=os.environ.get("AFFINITY_TEST_BROKERS"), metavar="HOST:PORT")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=int, default=300, help="events per second")
    parser.add_argument("--events", type=int, help="of the log, at most; default: enough for 15 seconds a kill")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--session-timeout", type=int, default=6000, metavar="MS",
                        help="with --dynamic a killed member leaves the group after this (default 6000, the least that brokers allow)")
    parser.add_argument("--dynamic", action="store_true",
                        help="no group.instance.id: each start waits until the one killed before it has left the group")
    parser.add_argument("--patience", type=int, default=120, metavar="S", help="how long to wait for anything")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", default=".build/release/affinityd")
    parser.add_argument("--keep", action="store_true", help="keep topics and files")
    options = parser.parse_args()
    if not options.brokers:
        parser.error("--brokers HOST:PORT, or AFFINITY_TEST_BROKERS")
    with_client()
    options.reach = 3 + options.session_timeout / 1000 if options.dynamic else 0.8  # seconds: by then it reads
    options.events = enough_events(options)
    judge("exactly once", options, run)


main()
