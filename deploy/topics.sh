#!/bin/sh
# Creates the topics of Affinity on a Kafka of one's own; those that exist are left as they are.
#   BOOTSTRAP=broker:9092 PARTITIONS=12 REPLICATION=3 deploy/topics.sh
# Needs Kafka's own kafka-topics.sh, on the PATH or in /opt/kafka/bin.
#
# - shop.events is the memory of the shop: every start of the daemon reads it from its beginning, so
#   it is kept for longer than the longest window (365d), not compacted.
# - What is keyed by user, item or antecedent is compacted: the last message of a key is its state,
#   a null takes it away.
# - models and receipts are kept for good; dead letters for a fortnight. Dead letters hold messages as
#   they came, and with them ids of users: an erasure is complete when they have gone.
set -eu

bootstrap=${BOOTSTRAP:-localhost:9092}
partitions=${PARTITIONS:-12}
replication=${REPLICATION:-1}
command -v kafka-topics.sh >/dev/null 2>&1 || PATH=$PATH:/opt/kafka/bin

day=86400000

create() {
  topic=$1
  parts=$2
  shift 2
  settings=""
  for setting in "$@"; do settings="$settings --config $setting"; done
  # shellcheck disable=SC2086 # a list of words
  kafka-topics.sh --bootstrap-server "$bootstrap" --create --if-not-exists --topic "$topic" \
    --partitions "$parts" --replication-factor "$replication" $settings
}

# Tombstones stay a day, so that a consumer that was away sees them; a segment closes after a day at
# the latest, for only closed ones are compacted.
compacted="cleanup.policy=compact delete.retention.ms=$day segment.ms=$day min.cleanable.dirty.ratio=0.1"

create shop.events "$partitions" cleanup.policy=delete retention.ms=$((400 * day))
# shellcheck disable=SC2086
create shop.catalogue 1 $compacted
# shellcheck disable=SC2086
create affinity.recommendations "$partitions" $compacted
# shellcheck disable=SC2086
create affinity.neighbours "$partitions" $compacted
# shellcheck disable=SC2086
create affinity.rules "$partitions" $compacted
# shellcheck disable=SC2086
create affinity.popular 1 $compacted
# shellcheck disable=SC2086
create affinity.insights "$partitions" $compacted
create affinity.models 1 cleanup.policy=delete retention.ms=-1
create affinity.receipts 1 cleanup.policy=delete retention.ms=-1
create affinity.dead-letters "$partitions" cleanup.policy=delete retention.ms=$((14 * day))
