// A bare consumer, to compare the daemon with: how fast librdkafka hands records out and simdjson reads
// six fields of each (type, time, user, session, order, the items' ids), when nothing else is done. Batches of
// 10,000 from the consumer queue, all partitions of one topic assigned from their beginning, until N
// records have come. Nothing is checked, converted or kept: the texts' lengths are added up.
//
//   g++ -O2 -o /tmp/consume Tests/baseline/consume.cpp -lrdkafka -lsimdjson
//   /tmp/consume BOOTSTRAP TOPIC N [lengths] [property=value ...]
//
// With `lengths` values are not read at all. Prints one line: records, bytes of keys and values, seconds from
// the first record to the last, records per second. The same settings as Sources/Kafka/Settings.swift
// where they concern speed.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <librdkafka/rdkafka.h>
#include <simdjson.h>
#include <string>
#include <unistd.h>

namespace {

constexpr size_t batch_size = 10000;

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

void set(rd_kafka_conf_t *conf, const std::string &name, const std::string &value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error, sizeof error) != RD_KAFKA_CONF_OK) {
    std::fprintf(stderr, "%s\n", error);
    std::exit(2);
  }
}

/// simdjson's on-demand reader over a padded copy.
class Reader {
public:
  size_t text = 0;
  size_t faults = 0;

  void read(const void *value, size_t count) {
    if (count + simdjson::SIMDJSON_PADDING > room.size()) room.resize(2 * (count + simdjson::SIMDJSON_PADDING));
    std::memcpy(room.data(), value, count);
    simdjson::ondemand::document document;
    simdjson::ondemand::object event;
    if (parser.iterate(room.data(), count, room.size()).get(document) || document.get_object().get(event)) {
      faults++;
      return;
    }
    for (auto field : event) {
      std::string_view key, found;
      if (field.unescaped_key().get(key)) {
        faults++;
        return;
      }
      if (key == "type" || key == "time" || key == "user" || key == "session" || key == "order") {
        if (!field.value().get_string().get(found)) text += found.size();
      } else if (key == "items") {
        simdjson::ondemand::array items;
        if (field.value().get_array().get(items)) continue;
        for (auto item : items) {
          if (!item["id"].get_string().get(found)) text += found.size();
        }
      }
    }
  }

private:
  simdjson::ondemand::parser parser;
  std::string room;
};

} // namespace

int main(int argc, char **argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: consume BOOTSTRAP TOPIC N [lengths] [property=value ...]\n");
    return 2;
  }
  const char *topic = argv[2];
  const long long wanted = std::atoll(argv[3]);
  bool reads = true;
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", argv[1]);
  set(conf, "group.id", "baseline");
  set(conf, "enable.auto.commit", "false");
  set(conf, "enable.auto.offset.store", "false");
  set(conf, "auto.offset.reset", "error");
  set(conf, "check.crcs", "true");
  set(conf, "fetch.wait.max.ms", "100");
  set(conf, "queued.min.messages", "500000");
  set(conf, "queued.max.messages.kbytes", "262144");
  set(conf, "socket.nagle.disable", "true");
  for (int i = 4; i < argc; i++) {
    const char *equals = std::strchr(argv[i], '=');
    if (std::strcmp(argv[i], "lengths") == 0) {
      reads = false;
    } else if (equals) {
      set(conf, std::string(argv[i], size_t(equals - argv[i])), equals + 1);
    } else {
      std::fprintf(stderr, "%s: not property=value\n", argv[i]);
      return 2;
    }
  }

  char error[512];
  rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (!client) {
    std::fprintf(stderr, "%s\n", error);
    return 1;
  }
  rd_kafka_poll_set_consumer(client);
  rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, nullptr);
  const struct rd_kafka_metadata *metadata;
  const rd_kafka_resp_err_t status = rd_kafka_metadata(client, 0, handle, &metadata, 10000);
  if (status || metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt == 0) {
    std::fprintf(stderr, "%s: %s\n", topic, rd_kafka_err2str(status));
    return 1;
  }
  const int partitions = metadata->topics[0].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(partitions);
  for (int p = 0; p < partitions; p++)
    rd_kafka_topic_partition_list_add(all, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(client, all);
  rd_kafka_topic_partition_list_destroy(all);

  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
  static rd_kafka_message_t *batch[batch_size];
  Reader reader;
  long long records = 0, bytes = 0, errors = 0;
  double first = 0, last = 0;
  while (records < wanted) {
    const ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch, batch_size);
    if (n <= 0) continue;
    if (records == 0) first = now();
    for (ssize_t i = 0; i < n; i++) {
      if (batch[i]->err) {
        errors++;
        std::fprintf(stderr, "%s\n", rd_kafka_message_errstr(batch[i]));
      } else {
        records++;
        bytes += static_cast<long long>(batch[i]->len + batch[i]->key_len);
        if (reads) reader.read(batch[i]->payload, batch[i]->len);
      }
      rd_kafka_message_destroy(batch[i]);
    }
    last = now();
  }
  const double seconds = last - first;
  std::printf("%lld records, %lld bytes, %zu read, %.3f s, %.0f records/s, %lld errors, %zu not read, %d partitions\n",
              records, bytes, reader.text, seconds, seconds > 0 ? double(records) / seconds : 0.0, errors,
              reader.faults, partitions);
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(client);
  rd_kafka_topic_destroy(handle);
  rd_kafka_destroy(client);
  return errors || reader.faults ? 1 : 0;
}
