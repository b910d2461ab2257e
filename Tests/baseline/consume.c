/* A bare C consumer, to compare the daemon with: how fast librdkafka hands records out when nothing
 * is done with them. Batches of 10,000 from the consumer queue, all partitions of one topic assigned
 * from their beginning, until N records have come (0: until nothing comes for 2 s).
 *
 *   cc -O2 -o /tmp/consume Tests/baseline/consume.c -lrdkafka
 *   /tmp/consume BOOTSTRAP TOPIC N [property=value ...]
 *
 * Prints one line: records, bytes of keys and values, seconds from the first record to the last,
 * records per second. The same settings as Sources/Kafka/Settings.swift where they concern speed.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 10000 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char error[512];
  if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK) {
    fprintf(stderr, "%s\n", error);
    exit(2);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: consume BOOTSTRAP TOPIC N [property=value ...]\n");
    return 2;
  }
  const char *topic = argv[2];
  long long wanted = atoll(argv[3]);

  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", argv[1]);
  set(conf, "group.id", "baseline");
  set(conf, "enable.auto.commit", "false");
  set(conf, "enable.auto.offset.store", "false");
  set(conf, "auto.offset.reset", "error");
  set(conf, "check.crcs", "true");
  set(conf, "fetch.wait.max.ms", "100");
  set(conf, "queued.min.messages", "200000");
  set(conf, "queued.max.messages.kbytes", "65536");
  set(conf, "socket.nagle.disable", "true");
  for (int i = 4; i < argc; i++) {
    char *equals = strchr(argv[i], '=');
    if (!equals) {
      fprintf(stderr, "%s: not property=value\n", argv[i]);
      return 2;
    }
    *equals = 0;
    set(conf, argv[i], equals + 1);
  }

  char error[512];
  rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
  if (!client) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  rd_kafka_poll_set_consumer(client);

  rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
  const struct rd_kafka_metadata *metadata;
  rd_kafka_resp_err_t status = rd_kafka_metadata(client, 0, handle, &metadata, 10000);
  if (status || metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt == 0) {
    fprintf(stderr, "%s: %s\n", topic, rd_kafka_err2str(status));
    return 1;
  }
  int partitions = metadata->topics[0].partition_cnt;
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(partitions);
  for (int p = 0; p < partitions; p++)
    rd_kafka_topic_partition_list_add(all, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(client, all);
  rd_kafka_topic_partition_list_destroy(all);

  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
  static rd_kafka_message_t *batch[BATCH];
  long long records = 0, bytes = 0, errors = 0;
  double first = 0, last = now();
  while (wanted == 0 ? now() - last < 2 : records < wanted) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch, BATCH);
    if (n <= 0) continue;
    if (records == 0) first = now();
    for (ssize_t i = 0; i < n; i++) {
      if (batch[i]->err) {
        errors++;
        fprintf(stderr, "%s\n", rd_kafka_message_errstr(batch[i]));
      } else {
        records++;
        bytes += (long long)(batch[i]->len + batch[i]->key_len);
      }
      rd_kafka_message_destroy(batch[i]);
    }
    last = now();
  }
  double seconds = last - first;
  printf("%lld records, %lld bytes, %.3f s, %.0f records/s, %lld errors, %d partitions\n", records,
         bytes, seconds, seconds > 0 ? (double)records / seconds : 0.0, errors, partitions);

  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(client);
  rd_kafka_topic_destroy(handle);
  rd_kafka_destroy(client);
  return errors ? 1 : 0;
}
