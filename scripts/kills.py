#!/usr/bin/env python3
"""A hundred times kill -9, real processes: the embedded broker, and a daemon that is killed while events come in.

    scripts/kills.py [--cycles 100] [--rate 300] [--seed 1] [--keep]

Events of the simulated shop are produced at --rate the whole time, letters that are no events and erasures among them.
`affinityd run` (at least once, snapshots and models every second) is ended by SIGKILL --cycles times: while it starts,
restores or runs. After a last start and a stop by SIGTERM everything that a reader saw is held against an undisturbed
run, which is a plain replay of the topic with the recorded ticks:

  - each model, so also the first after each kill, is that run's to the byte: digest of the rows, of the counts, sizes
    at the same offsets;
  - no list, no message of a model, no receipt and no dead letter is missing, and what came again has the same bytes.

Exit status 0 if so, 1 if not (the files are kept and named), 2 for wrong use. The reader is confluent-kafka, which goes
into a virtual environment under /tmp.
"""
import argparse, os

from live import (Daemon, OUTPUTS, Reader, compare_with_replay, enough_events, judge, kill_at_random, make_log, produce, say,
                  start_broker, wait_for_the_end, with_client)


def run(options, folder):
    broker, address = start_broker(options, folder)
    # Short, so that the next start soon has the partitions; but the broker lets a first member wait for three seconds.
    daemon = Daemon(options.binary, folder, address, {"delivery": "at_least_once"},
                    {"session.timeout.ms": "4000", "heartbeat.interval.ms": "500"})
    producing = None
    try:
        log = os.path.join(folder, "log.jsonl")
        make_log(options, log)
        reader = Reader(address, daemon, OUTPUTS + ("events",))
        daemon.start()
        producing = produce(address, daemon, log, options.rate)
        daemon.wait_for("m-000001", options.patience)
        say("records on their way, first model made; killing")
        stages = kill_at_random(daemon, producing, options)
        wait_for_the_end(daemon, reader, producing, options)
        daemon.stop()
        reader.finish()
        found = compare_with_replay(daemon, reader, folder, repeats_allowed=True)
    finally:
        daemon.close()
        for process in (producing, broker):
            if process and process.poll() is None:
                process.kill()
    print("\n".join(found))
    print(f"kills: {options.kills}, of them {', '.join(f'{n} while {stage}' for stage, n in stages.items())}")
    print("kills: every digest and every message HOLDS")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=100, dest="kills")
    parser.add_argument("--rate", type=int, default=300, help="events per second")
    parser.add_argument("--events", type=int, help="of the log, at most; default: enough for 15 seconds a cycle")
    parser.add_argument("--patience", type=int, default=120, metavar="S", help="how long to wait for anything")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", default=".build/release/affinityd")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    options.reach = 7  # seconds: by then it reads
    with_client()
    options.events = enough_events(options)
    judge("kills", options, run)


main()
