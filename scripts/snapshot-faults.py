#!/usr/bin/env python3
"""Every system call of a snapshot killed, and failed, in turn: the real daemon on the embedded broker, under strace.

    scripts/snapshot-faults.py [--every 1] [--calls write,fsync] [--faults KILL,ENOSPC,EIO] [--keep]

`affinityd run` reads the simulated shop and writes a snapshot as often as it may. One of them is watched to learn which
calls it makes on its files: those of the writer (a copy of the process: open, reserve, write, write back, fsync, close)
and those of the daemon itself (rename, open, list and fsync the folder, remove what is old). Then strace is attached
again and again, and the K-th call of each kind ends by SIGKILL or fails with ENOSPC or EIO: every K, or each --every-th.
After each of them

  - the folder holds a good snapshot (`affinityd inspect` checks every byte), and no damaged one;
  - a failed one is told in the log, the daemon runs on, and (looked at after every tenth) acknowledged messages grow and
    the next snapshot succeeds;
  - where the daemon itself was killed, the next start comes back from a snapshot.

An attempt takes a second or two, all of them half an hour. Exit status 0 if all holds, 1 if not (the files are kept and named), 2 for wrong use, 77 where
strace is not there or may not attach.
"""
import argparse, collections, glob, os, re, shutil, signal, subprocess, sys, time

from live import Daemon, Failure, judge, make_log, produce, say, start_broker

OUTCOME = re.compile(r"info affinityd: snapshot (/\S+) in|error affinityd: snapshot: (.*)")
# The writer's calls that need no file of ours are not worth a fault: they set up signals and the end.
WATCHED = "openat,fallocate,write,sync_file_range,fsync,close,rename,getdents64,unlink,fstat,newfstatat"


HARMLESS = ("sync_file_range", "unlink", "getdents64", "close", "fstat", "newfstatat")


class World:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.broker, address = start_broker(options, folder)
        self.daemon = Daemon(options.binary, folder, address, {"delivery": "at_least_once"},
                             {"session.timeout.ms": "4000", "heartbeat.interval.ms": "500"})
        self.state = self.daemon.settings["state.directory"]
        log = os.path.join(folder, "log.jsonl")
        make_log(options, log)
        self.producing = produce(address, self.daemon, log, options.rate)
        self.start()

    def start(self):
        self.base = max((int(name[-12:]) for name in os.listdir(self.state) if name.startswith("snapshot-")), default=0) \
            if os.path.isdir(self.state) else 0
        self.daemon.start()
        self.daemon.wait_for("caught up", 60)
        self.await_outcome(0)

    def close(self):
        self.daemon.close()
        for process in (self.producing, self.broker):
            if process.poll() is None:
                process.kill()

    def outcomes(self):
        """What became of the snapshots of this start: None where one succeeded, else the fault."""
        return [fault or None for _, fault in OUTCOME.findall(self.daemon.log)]

    def await_outcome(self, known, or_death=False):
        """The outcomes, once there are more than `known`; or where the daemon has died."""
        deadline = time.monotonic() + 60
        while True:
            now = self.outcomes()
            if len(now) > known or or_death and self.daemon.process.poll() is not None:
                return now
            self.daemon.require_running()
            if time.monotonic() > deadline:
                raise Failure(f"no snapshot within 60 s\n{self.daemon.log[-2000:]}")
            time.sleep(0.02)

    def require_good(self, context):
        """Every snapshot in the folder is whole, and there is one."""
        ran = subprocess.run([self.daemon.binary, "inspect", self.state], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        if ran.returncode or not glob.glob(self.state + "/snapshot-*"):
            raise Failure(f"{context}: {ran.stdout}")

    def paths(self):
        """All that snapshots are made of: the folder, what is in it, and the next few files."""
        number = self.base + len(self.outcomes())
        return [self.state] + [
            f"{self.state}/{name}-{n:012d}" for n in range(max(1, number - 4), number + 4) for name in ("partial", "snapshot")]

    def attach(self, role, *more):
        """strace on the calls of that role: the writer has to do with the next partial files alone."""
        trace = os.path.join(self.folder, "trace")
        paths = [path for path in self.paths() if role != "writer" or "/partial-" in path]
        if role == "daemon":
            paths = [path for path in paths if "/partial-" not in path]
        flags = [part for path in paths for part in ("-P", path)]
        strace = subprocess.Popen(
            ["strace", "-f", "-p", str(self.daemon.process.pid), "-o", trace, "-e", "trace=" + WATCHED, *flags, *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in strace.stderr:
            if "attached" in line:
                return strace, trace
        raise Failure("strace does not attach")

    def detach(self, strace):
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)
        strace.communicate(timeout=20)


def learn(world):
    """How often a snapshot makes each call, by role."""
    known = len(world.outcomes())
    strace, trace = world.attach("both")
    seen = len(world.await_outcome(known + 1)) - known  # one may have been on its way
    world.detach(strace)
    calls = collections.defaultdict(collections.Counter)
    with open(trace) as file:
        for line in file:
            found = re.match(r"(\d+) +(\w+)\(", line)
            if found:
                calls[found[1]][found[2]] += 1
    counts = {"writer": collections.Counter(), "daemon": collections.Counter()}
    for own in calls.values():
        if own["fallocate"]:
            counts["writer"] |= own
        else:
            counts["daemon"] += collections.Counter({call: -(-n // seen) for call, n in own.items()})
    for role in counts:
        say(f"calls of the {role}: " + ", ".join(f"{n} {call}" for call, n in sorted(counts[role].items())))
        if not counts[role]:
            raise Failure(f"no call of the {role} was seen")
    return counts


def attempt(world, role, call, k, fault):
    """Returns whether the call came at all."""
    context = f"{fault} at {call} {k} of the {role}"
    known = world.outcomes()
    # A rename is found by its first path.
    strace, trace = world.attach(
        "writer" if call == "rename" else role, "-e", f"inject={call}:" + ("signal=KILL" if fault == "KILL" else f"error={fault}") + f":when={k}")
    try:
        outcomes = world.await_outcome(len(known), or_death=True)
        if outcomes[len(known):] == [None] and world.daemon.process.poll() is None:
            outcomes = world.await_outcome(len(known) + 1, or_death=True)  # the first was on its way
    finally:
        world.detach(strace)
    with open(trace) as file:
        text = file.read()
    came = "(INJECTED)" in text or "killed by SIGKILL" in text
    world.require_good(context)
    if world.daemon.process.poll() is not None:
        if fault != "KILL" or role != "daemon":
            raise Failure(f"{context}: the daemon ended\n{world.daemon.log[-2000:]}")
        world.start()
        world.daemon.wait_for(r"info affinityd: restored /", 1)
        return True
    # Writing back early and removing old ones are no part of a snapshot's success.
    if came and not any(outcomes[len(known):]) and call not in HARMLESS:
        raise Failure(f"{context}: nobody noticed")
    return came


def check_service(world, context):
    """Without a fault the next snapshot succeeds, and messages go out."""
    served = world.daemon.metrics().get("messages_acknowledged", 0)
    after = world.await_outcome(len(world.outcomes()))
    if after[-1] is not None:
        after = world.await_outcome(len(after))  # the strace that was detached may have met it still
    if after[-1] is not None:
        raise Failure(f"{context}: the next ones fail too: {after[-1]}")
    time.sleep(0.5)
    if world.daemon.metrics().get("messages_acknowledged", 0) <= served:
        raise Failure(f"{context}: nothing is served any more")


def may_trace():
    """Whether strace is there and may attach to a process of ours."""
    if not shutil.which("strace"):
        return False
    sleeper = subprocess.Popen(["sleep", "60"])
    strace = subprocess.Popen(["strace", "-p", str(sleeper.pid), "-o", os.devnull], stderr=subprocess.PIPE, text=True)
    attached = "attached" in strace.stderr.readline()
    strace.terminate()
    sleeper.kill()
    strace.communicate()
    sleeper.wait()
    return attached


def run(options, folder):
    world = World(options, folder)
    done = collections.Counter()
    try:
        counts = learn(world)
        for role in ("writer", "daemon"):
            for call, count in sorted(counts[role].items()):
                if options.calls and call not in options.calls.split(","):
                    continue
                for fault in options.faults.split(","):
                    for k in range(1, count + 1, options.every):
                        if attempt(world, role, call, k, fault):
                            done[role, fault] += 1
                        if k % 10 == 1:
                            check_service(world, f"{fault} at {call} {k} of the {role}")
                    say(f"{fault} at {call} of the {role}, 1 to {count}: held")
        world.daemon.stop()
        world.require_good("after the stop")
    finally:
        world.close()
    total = ", ".join(f"{n} times {fault} in the {role}" for (role, fault), n in sorted(done.items()))
    print(f"snapshot faults: {total}: always a good snapshot, always served: HOLDS")
    if not done:
        raise Failure("nothing was tried")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th call of a kind only")
    parser.add_argument("--calls", help="only these")
    parser.add_argument("--faults", default="KILL,ENOSPC,EIO")
    parser.add_argument("--rate", type=int, default=100, help="events per second")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the log, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", default=".build/release/affinityd")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    if not may_trace():
        print("snapshot-faults: strace is not there (apt-get install strace), or may not attach here", file=sys.stderr)
        sys.exit(77)
    judge("snapshot faults", options, run)


main()
