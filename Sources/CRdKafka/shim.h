// librdkafka's C interface and its mock cluster, as one module.
#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
