#!/bin/sh
# The whole path, measured: broker, producer and daemon as processes on this machine (two cores are enough).
#   scripts/bench-path.sh lists    personalised recommendation events per second, published
#   scripts/bench-path.sh latency  event received to recommendation handed over, at half the rate that `lists` reaches (RATE=…)
#   scripts/bench-path.sh replay   5 million simulated events offline, no lists
#   scripts/bench-path.sh tick     a model over 10 million pairs while events come in: its time, and the longest pause
# Prints a line per figure. EVENTS=… changes the number of events. Topic to state: scripts/bench-consumers.py.
set -eu
cd "$(dirname "$0")/.."
bin=.build/release/affinityd
[ -x $bin ] || { echo "make build first" >&2; exit 1; }
dir=$(mktemp -d)
broker=""
daemon=""
stop() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  [ -z "$broker" ] || kill "$broker" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$dir"
}
trap stop EXIT INT TERM

start_broker() {
  $bin broker --partitions "$1" --bootstrap-file "$dir/bootstrap" >"$dir/broker.log" &
  broker=$!
  for _ in $(seq 60); do [ -s "$dir/bootstrap" ] && break; sleep 0.3; done
  address=$(cat "$dir/bootstrap")
}

# start_daemon KEY=VALUE …: settings over the common ones
start_daemon() {
  set -- kafka.session.timeout.ms=6000 delivery=at_least_once state.directory=off metrics.interval=1s \
    metrics.file="$dir/metrics.jsonl" log.file="$dir/daemon.log" "$@"
  flags=""
  for pair in "$@"; do flags="$flags --set $pair"; done
  # shellcheck disable=SC2086 # words
  $bin run --set kafka.bootstrap.servers="$address" $flags &
  daemon=$!
}

wait_for() { # PATTERN SECONDS
  i=0
  until grep -q "$1" "$dir/daemon.log" 2>/dev/null; do
    i=$((i + 1))
    [ $i -lt $(($2 * 5)) ] || { echo "no '$1' within $2 s" >&2; cat "$dir/daemon.log" >&2; exit 1; }
    sleep 0.2
  done
}

metric() { # NAME: largest value over the lines
  python3 - "$dir/metrics.jsonl" "$1" <<'PY'
import json, sys
print(max((json.loads(l).get(sys.argv[2], 0) for l in open(sys.argv[1])), default=0))
PY
}

case "${1:-}" in
lists)
  events=${EVENTS:-300000}
  $bin simulate --events 600000 --items 2000 --users 20000 --out "$dir/log.jsonl"
  head -n 300000 "$dir/log.jsonl" >"$dir/history.jsonl"
  tail -n "+300001" "$dir/log.jsonl" | head -n "$events" >"$dir/live.jsonl"
  start_broker 64
  $bin produce "$dir/history.jsonl" -b "$address" 2>&1 | sed 's/^/history: /'
  start_daemon recommend.linger=0ms recommend.refresh=1s model.interval=1h ${SETTINGS:-}
  wait_for "m-000001" 60
  sleep 2
  $bin produce "$dir/live.jsonl" -b "$address" 2>&1 | sed 's/^/live: /'
  sleep 1
  while :; do
    lag=$(tail -n 1 "$dir/metrics.jsonl" | sed 's/.*"lag_records":\([0-9]*\).*/\1/')
    [ "$lag" = 0 ] && break
    sleep 1
  done
  sleep 2
  echo "recommendation events published per second, best second: $(metric lists_per_second)"
  echo "lists made: $(metric lists_made), p99 of the last second $(metric latency_p99_ms) ms"
  ;;
latency)
  seconds=${SECONDS_OF_LOAD:-30}
  $bin simulate --events 1800000 --items 2000 --users 20000 --out "$dir/log.jsonl"
  head -n 300000 "$dir/log.jsonl" >"$dir/history.jsonl"
  start_broker 64
  $bin produce "$dir/history.jsonl" -b "$address" 2>&1 | sed 's/^/history: /'
  start_daemon recommend.linger=0ms model.interval=10s metrics.interval=5s ${SETTINGS:-}
  wait_for "m-000001" 60
  rate=${RATE:-}
  if [ -z "$rate" ]; then
    # As fast as it goes, by the lists of whole intervals.
    tail -n +300001 "$dir/log.jsonl" | head -n 500000 >"$dir/burst.jsonl"
    $bin produce "$dir/burst.jsonl" -b "$address" 2>&1 | sed 's/^/burst: /'
    while :; do
      sleep 1
      lag=$(tail -n 1 "$dir/metrics.jsonl" | sed 's/.*"lag_records":\([0-9]*\).*/\1/')
      [ "$lag" != 0 ] || break
    done
    fastest=$(metric events_per_second)
    rate=$(python3 -c "print(int($fastest / 2))")
    echo "fastest: $fastest events/s"
  fi
  before=$(wc -l <"$dir/metrics.jsonl")
  tail -n +800001 "$dir/log.jsonl" | head -n $((rate * seconds)) >"$dir/live.jsonl"
  $bin produce "$dir/live.jsonl" -b "$address" --rate "$rate" 2>&1 | sed 's/^/live: /'
  # The first interval begins before the load, the last may end after it.
  python3 - "$dir/metrics.jsonl" "$before" "$rate" <<'PY'
import json, statistics, sys
lines = [json.loads(l) for l in open(sys.argv[1])][int(sys.argv[2]) + 1:]
lines = [l for l in lines if l.get("handover_p99_ms") is not None]
for name in ("p50", "p99", "p999", "max"):
    values = [l[f"handover_{name}_ms"] for l in lines]
    print(f"handed over, {name}: median of the intervals {statistics.median(values):.2f} ms, worst {max(values):.2f} ms")
print(f"at {sys.argv[3]} events/s asked for, {statistics.median(l['events_per_second'] for l in lines):.0f} taken; {len({l.get('model') for l in lines})} models, slowest {max(l.get('tick_seconds_max', 0) for l in lines)} s, longest pause {max(l.get('pause_ms_max', 0) for l in lines):.1f} ms")
PY
  ;;
replay)
  events=${EVENTS:-5000000}
  $bin simulate --events "$events" --single --out "$dir/log.jsonl"
  $bin replay "$dir/log.jsonl" --out "$dir/out" --no-recommendations --ticks "${TICKS:-1d}"
  ;;
tick)
  $bin simulate --shape film --items "${ITEMS:-6000}" --users 6000 --events "${EVENTS:-900000}" --out "$dir/log.jsonl"
  start_broker 64
  start_daemon recommend.enabled=false model.interval=10s rules.enabled=false model.threads=1 \
    model.relations.liked.source=like model.relations.liked.target=like model.relations.liked.history=400 events.like_from=0
  wait_for "assigned" 30
  $bin produce "$dir/log.jsonl" -b "$address" --rate "${RATE:-30000}" 2>&1 | sed 's/^/produced: /'
  sleep 12
  echo "pairs $(metric model_pairs), slowest model $(metric tick_seconds_max) s, longest pause $(metric pause_ms_max) ms"
  grep "m-0" "$dir/daemon.log" | tail -n 3
  ;;
*)
  sed -n '2,7p' "$0" | sed 's/^# \{0,1\}//'
  exit 2
  ;;
esac
