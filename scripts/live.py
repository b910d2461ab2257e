"""What the scripts that drive a real daemon share: its process with configuration and logs, an outside consumer that
reads along, and the comparison of what it saw with a plain replay of the same topic.

The consumer is confluent-kafka, from PyPI; `with_client()` starts the script again with it where it is missing.
"""
import collections, hashlib, json, os, random, re, shutil, signal, subprocess, sys, tempfile, threading, time

from peers import environment

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
OUTPUTS = ("recommendations", "neighbours", "rules", "popular", "models", "receipts", "dead-letters")


def with_client():
    """Sees to it that confluent_kafka can be imported."""
    try:
        import confluent_kafka  # noqa: F401
    except ImportError:
        python = environment("client", "confluent-kafka>=2.4,<3")
        os.execv(python, [python] + sys.argv)


def say(text):
    print(time.strftime("%H:%M:%S ") + text, file=sys.stderr, flush=True)


def digest(value):
    return hashlib.blake2b(value, digest_size=16).digest()


class Failure(Exception):
    """What the verdict is to say."""


def judge(title, options, run):
    """Runs `run(options, folder)` in a folder of its own and ends with its verdict: a Failure is said, and the files are
    kept and named."""
    os.chdir(ROOT)
    folder = tempfile.mkdtemp(prefix=f"affinity-{title.replace(' ', '-')}-")
    try:
        run(options, folder)
    except Failure as failure:
        print(f"{title}: FAILS (seed {options.seed}, files in {folder})\n{failure}")
        sys.exit(1)
    if options.keep:
        say(f"kept: {folder}")
    else:
        shutil.rmtree(folder)


def enough_events(options):
    """How many last for all the kills, where nobody says."""
    return options.events or 15 * options.rate * (options.kills + 2)


class Daemon:
    """`affinityd run`: killed and started again with the same configuration, each time with a log of its own."""

    def __init__(self, binary, folder, address, settings, kafka=None, prefix=None):
        self.binary, self.folder = os.path.abspath(binary), folder
        self.starts, self.process = 0, None
        self.configuration = os.path.join(folder, "affinity.yaml")
        properties = {"bootstrap.servers": address, "group.id": "affinity", "session.timeout.ms": "6000", "linger.ms": "5"}
        if prefix:
            properties["group.id"] = prefix
        properties.update(kafka or {})
        self.group = properties["group.id"]
        self.topics = {name: f"affinity.{name}" for name in OUTPUTS}
        self.topics["events"], self.topics["catalogue"] = "shop.events", "shop.catalogue"
        if prefix:
            self.topics = {name: f"{prefix}.{name}" for name in self.topics}
        lines = ["kafka:"] + [f'  {name}: "{value}"' for name, value in sorted(properties.items())]
        lines += ["topics:"] + [f'  {name.replace("-", "_")}: "{topic}"' for name, topic in sorted(self.topics.items())]
        self.settings = {
            "state.directory": os.path.join(folder, "state"), "state.snapshot_interval": "1s", "model.interval": "1s",
            "rules.interval": "0s", "rules.min_support": "3", "recommend.linger": "0s", "recommend.top": "5",
            "recommend.refresh": "6h", "metrics.interval": "200ms", "metrics.file": os.path.join(folder, "metrics.jsonl"),
            "admin.listen": "off", **settings}
        with open(self.configuration, "w") as file:
            file.write("\n".join(lines) + "\n")
        self.flags = [part for item in sorted(self.settings.items()) for part in ("--set", "%s=%s" % item)]

    def start(self, around=()):
        """`around`: a command that starts the daemon (strace, say)."""
        self.starts += 1
        self.log_path = os.path.join(self.folder, f"daemon-{self.starts}.log")
        self.process = subprocess.Popen(
            [*around, self.binary, "run", "--config", self.configuration, *self.flags, "--set", f"log.file={self.log_path}"],
            stdin=subprocess.DEVNULL, stdout=open(os.path.join(self.folder, "daemon.out"), "ab"),
            stderr=subprocess.STDOUT)

    @property
    def log(self):
        try:
            with open(self.log_path, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def metrics(self):
        """The last whole line of the metrics log."""
        try:
            with open(self.settings["metrics.file"], "rb") as file:
                file.seek(max(0, os.path.getsize(self.settings["metrics.file"]) - 16384))
                lines = file.read().split(b"\n")
            return json.loads(lines[-2]) if len(lines) > 2 else {}
        except (FileNotFoundError, ValueError):
            return {}

    def wait_for(self, pattern, seconds):
        """Until the log of this start holds the pattern."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.log)
            if found:
                return found
            self.require_running()
            if time.monotonic() > deadline:
                raise Failure(f"start {self.starts}: no '{pattern}' within {seconds} s; its log ends\n{self.log[-3000:]}")
            time.sleep(0.02)

    def require_running(self):
        status = self.process.poll()
        if status is not None:
            raise Failure(f"start {self.starts}: the daemon ended by itself with status {status}\n{self.log[-3000:]}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=40):
        """SIGTERM, and the drain's good end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"the daemon did not stop within {seconds} s\n{self.log[-3000:]}")
        if status != 0:
            raise Failure(f"the stop ended with status {status}\n{self.log[-3000:]}")

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()


Record = collections.namedtuple("Record", "topic partition offset key value timestamp arrival")


class Reader(threading.Thread):
    """Reads topics from their beginning, by default as a `read_committed` consumer does. Of values whose topic is not
    in `whole` only the digest is kept, with a recommendation's id and model."""

    def __init__(self, address, daemon, names, whole=("models", "receipts", "events"), isolation="read_committed"):
        super().__init__(daemon=True)
        from confluent_kafka import Consumer, TopicPartition
        self.names = {daemon.topics[name]: name for name in names}
        self.whole = whole
        self.records = {name: [] for name in names}
        self.failure, self.is_over = None, threading.Event()
        self.consumer = Consumer({
            "bootstrap.servers": address, "group.id": f"reader-{os.getpid()}-{id(self)}", "isolation.level": isolation,
            "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 20,
            "fetch.message.max.bytes": 8 << 20})
        self.partitions = {}
        places = []
        for topic in self.names:
            self.partitions[topic] = sorted(self.consumer.list_topics(topic, 20).topics[topic].partitions)
            places += [TopicPartition(topic, partition, 0) for partition in self.partitions[topic]]
        self.consumer.assign(places)
        self.start()

    def run(self):
        try:
            while not self.is_over.is_set():
                for message in self.consumer.consume(2000, 0.1):
                    if message.error():
                        raise Failure(f"the reader of {message.topic()}: {message.error()}")
                    self.take(message)
            # Markers of transactions take offsets too, but not among the events.
            events = [place for place in self.consumer.assignment() if self.names[place.topic] == "events"]
            for place in self.consumer.position(events):
                end = self.consumer.get_watermark_offsets(place, 20)[1]
                if max(0, place.offset) != end:
                    raise Failure(f"the reader is at {place.offset} of {place.topic} {place.partition}, which ends at {end}")
            self.consumer.close()
        except Exception as error:
            self.failure = error

    def take(self, message):
        name, value = self.names[message.topic()], message.value()
        if value is not None and name not in self.whole:
            match = re.match(rb'\{"id":"([^"]*)"', value) if name == "recommendations" else None
            model = re.search(rb'"model":"(m-\d+)"', value)
            value = (digest(value), match[1].decode() if match else None, model[1].decode() if model else None)
        self.records[name].append(Record(
            name, message.partition(), message.offset(), message.key(), value, message.timestamp()[1], time.time()))

    @property
    def count(self):
        return sum(len(records) for records in self.records.values())

    def settle(self, seconds=5):
        """Until nothing more has come for a while."""
        before, since = -1, time.monotonic()
        while time.monotonic() - since < seconds:
            if self.failure:
                raise Failure(str(self.failure))
            if self.count != before:
                before, since = self.count, time.monotonic()
            time.sleep(0.1)

    def finish(self):
        """Reads to the end of every topic, and stops."""
        self.settle(3)
        self.is_over.set()
        self.join(20)
        if self.failure:
            raise Failure(str(self.failure))


def dump_events(reader, path, topic):
    """The events topic as `kcat -C -J` prints it: what replay reads with its places."""
    with open(path, "w") as file:
        for one in reader.records["events"]:
            payload = one.value.decode("utf-8", "surrogateescape") if one.value is not None else None
            file.write(json.dumps({
                "topic": topic, "partition": one.partition, "offset": one.offset, "tstype": "create",
                "ts": one.timestamp, "key": one.key.decode() if one.key is not None else None,
                "payload": payload}, separators=(",", ":")) + "\n")


def create_topics(options, daemon):
    """The daemon's topics on a broker that can create them. Returns the client that did."""
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({"bootstrap.servers": options.brokers})
    wanted = [NewTopic(topic, 1 if name in ("models", "receipts", "catalogue") else options.partitions, -1)
              for name, topic in daemon.topics.items()]
    for future in admin.create_topics(wanted, operation_timeout=20).values():
        future.result(30)
    return admin


def delete_topics(admin, daemon):
    for topic, future in admin.delete_topics(list(daemon.topics.values()), operation_timeout=20).items():
        try:
            future.result(30)
        except Exception as error:
            say(f"{topic} stays: {error}")


def make_log(options, path):
    """Simulated events with letters that are none, and erasures, at random places."""
    subprocess.check_call([
        options.binary, "simulate", "--events", str(options.events), "--users", "800", "--items", "300", "--seed",
        str(options.seed), "--span", "5d", "--late", "0.02", "--duplicates", "0.02", "--out", path + ".plain"])
    chance = random.Random(options.seed)
    user = None
    with open(path + ".plain") as plain, open(path, "w") as log:
        def write(event):
            log.write(event if isinstance(event, str) else json.dumps(event, separators=(",", ":")) + "\n")
        for n, line in enumerate(plain):
            write(line)
            event = json.loads(line)
            user = event.get("user") or user
            if chance.random() < 0.005:
                write({"letter": n})
            if n > 2000 and user and chance.random() < 0.0005:
                write({"id": f"erasure-{n}", "type": "erase", "time": event["time"], "user": user})


def start_broker(options, folder):
    """`affinityd broker` as a process, and its address."""
    bootstrap = os.path.join(folder, "bootstrap")
    broker = subprocess.Popen([options.binary, "broker", "--partitions", "24", "--bootstrap-file", bootstrap],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not (os.path.exists(bootstrap) and open(bootstrap).read().endswith("\n")):
        if broker.poll() is not None:
            raise Failure("the broker does not start")
        time.sleep(0.1)
    return broker, open(bootstrap).read().strip()


def produce(address, daemon, log, rate):
    """Starts `affinityd produce` with the log."""
    return subprocess.Popen(
        [daemon.binary, "produce", log, "-b", address, "--topic", daemon.topics["events"], "--rate", str(rate)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_at_random(daemon, producing, options):
    """SIGKILL and a new start, `options.kills` times while the log is produced: four of ten at whatever the daemon does
    up to `options.reach` seconds after its start, the others once it runs and has made a model. Returns how many at which
    stage."""
    chance = random.Random(options.seed + 1)
    stages = {"starting": 0, "restoring": 0, "running": 0}
    began = time.monotonic()
    for number in range(1, options.kills + 1):
        if chance.random() < 0.4:
            time.sleep(chance.uniform(0.02, options.reach))
        else:
            daemon.wait_for("caught up", options.patience)
            if producing.poll() is None:
                daemon.wait_for(r" m-\d+: \d+ items", options.patience)
            time.sleep(chance.uniform(0.02, 1.5))
        daemon.require_running()
        log = daemon.log
        stage = "running" if "caught up" in log else "restoring" if "assigned" in log else "starting"
        stages[stage] += 1
        daemon.kill()
        daemon.start()
        say(f"kill {number} of {options.kills}, {time.monotonic() - began:.0f} s: while {stage}"
            + ("" if producing.poll() is None else "; the log is at its end: --events is too few"))
    return stages


def wait_for_the_end(daemon, reader, producing, options):
    """Ends the producer, and waits until everything produced is applied and everything said."""
    if producing.poll() is None:
        producing.terminate()
    if producing.wait(60):
        raise Failure(f"produce: {producing.stderr.read()}")
    say("the last start; waiting for the rest of the log")
    daemon.wait_for("caught up", options.patience)
    deadline = time.monotonic() + options.patience
    waiting = ("lag_records", "messages_waiting", "renewals_waiting", "lists_waiting", "messages_in_flight")
    while True:
        daemon.require_running()
        line = daemon.metrics()
        if line.get("caught_up") and not any(line.get(name, 1) for name in waiting):
            break
        if time.monotonic() > deadline:
            raise Failure(f"not at the end of the log: {line}")
        time.sleep(0.3)
    reader.settle(4)


def canonical(name, value):
    """A message as both sides are to have it: the topic's value, of which the reader may have the digest, or replay's line."""
    if name == "dead-letters":
        return "a letter"  # replay writes the reason into it, the daemon beside it
    if value is None or isinstance(value, bytes) and value.endswith(b',"deleted":true}'):
        return "null"
    if name == "receipts":
        # The digests are of all users at that instant, which is another one in each run; what they differ by is not.
        receipt = json.loads(value)
        before, after = (int(receipt.pop("digest_" + which), 16) for which in ("before", "after"))
        return json.dumps(receipt) + " %x" % ((before - after) % (1 << 128))
    return digest(value) if isinstance(value, bytes) else value[0]


def compare_with_replay(daemon, reader, folder, repeats_allowed):
    """Holds what the reader saw against a plain replay of the topic with the recorded ticks: each message is there, with
    the same bytes, once (or, where that is allowed, again with the same bytes). Returns lines for the verdict."""
    dump, models, out = (os.path.join(folder, name) for name in ("events.jsonl", "models.jsonl", "replay"))
    dump_events(reader, dump, daemon.topics["events"])
    with open(models, "wb") as file:
        file.writelines(one.value + b"\n" for one in reader.records["models"])
    ran = subprocess.run(
        [daemon.binary, "replay", dump, "--out", out, "--ticks", f"recorded:{models}", "--config", daemon.configuration,
         *daemon.flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ran.returncode:
        raise Failure(f"replay: {ran.stdout}")

    found = []
    for name in ("neighbours", "rules", "popular", "models", "receipts", "dead-letters"):
        with open(os.path.join(out, name + ".jsonl"), "rb") as file:
            wanted = collections.Counter(canonical(name, line.rstrip(b"\n")) for line in file)
        seen = collections.Counter(canonical(name, one.value) for one in reader.records[name])
        missing, more = wanted - seen, seen - wanted
        if repeats_allowed:
            more = collections.Counter({value: n for value, n in more.items() if value not in wanted})
        found.append(f"{name}: {sum(seen.values())} seen, {sum(wanted.values())} by replay")
        if missing or more:
            raise Failure(f"{found[-1]}: {sum(missing.values())} are missing, {sum(more.values())} are other ones or too many")

    # Lists: of a renewal that an act of the same user came before, nothing goes out live.
    wanted, caused = {}, set()
    with open(os.path.join(out, "recommendations.jsonl"), "rb") as file:
        for line in file:
            line = line.rstrip(b"\n")
            match = re.match(rb'\{"id":"([^"]*)"', line)
            if match:
                wanted[match[1].decode()] = digest(line)
                if b'"cause":{"topic":' in line[:600]:
                    caused.add(match[1].decode())
    seen, with_model = collections.Counter(), set()
    for one in reader.records["recommendations"]:
        if one.value is None:
            continue
        value, name, model = one.value
        seen[name] += 1
        with_model.add((model, one.key.decode()))
        if wanted.get(name) != value:
            raise Failure(f"list {name}: {'other bytes than by replay' if name in wanted else 'replay knows no such id'}")
    twice = [name for name, n in seen.items() if n > 1]
    missing = [name for name in caused if name not in seen]
    unrenewed = [name for name in wanted if name not in seen and name not in caused]
    # m-000123-USER: did an act of the user come with that model?
    lost = [name for name in unrenewed if (name[:name.index("-", 2)], name[name.index("-", 2) + 1:]) not in with_model]
    found.append(
        f"recommendations: {sum(seen.values())} seen, {len(seen)} ids, {len(caused)} caused by acts of which {len(missing)} "
        f"are missing, {len(twice)} came more than once, {len(unrenewed)} renewals needless by an act, {len(lost)} lost")
    if missing or lost or (twice and not repeats_allowed):
        which = (missing + lost + twice)[:3]
        places = [(one.value[1], f"{one.partition}:{one.offset}", one.timestamp) for one in reader.records["recommendations"]
                  if one.value and one.value[1] in which]
        raise Failure(f"{found[-1]}; for example {which}; seen at {places}")
    return found
