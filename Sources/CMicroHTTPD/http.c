#include "CMicroHTTPD.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

struct affinity_http {
  struct MHD_Daemon *daemon;
  affinity_http_handler handler;
  void *context;
};

typedef struct {
  enum MHD_Result result;
  struct MHD_Connection *connection;
} exchange;

static enum MHD_Result handle(
    void *context, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state) {
  (void)version, (void)upload;
  // The first call only tells of the head; the answer is queued once the request was read to its end.
  static char head_read;
  if (*state == NULL) {
    *state = &head_read;
    return MHD_YES;
  }
  if (*upload_size > 0) { // a body, which nothing here has: read and left
    *upload_size = 0;
    return MHD_YES;
  }
  struct affinity_http *server = context;
  exchange exchange = {.connection = connection, .result = MHD_NO};
  const affinity_http_request request = {
      .method = method,
      .path = url,
      .accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept"),
      .is_verbose = MHD_lookup_connection_value_n(
                        connection, MHD_GET_ARGUMENT_KIND, "verbose", 7, NULL, NULL) == MHD_YES,
      .connection = &exchange};
  server->handler(server->context, &request);
  return exchange.result;
}

void affinity_http_respond(
    const affinity_http_request *request, unsigned int status, const void *body, size_t size,
    const char *const *headers) {
  exchange *exchange = request->connection;
  struct MHD_Response *response =
      MHD_create_response_from_buffer(size, (void *)body, MHD_RESPMEM_MUST_COPY);
  if (response == NULL) return;
  for (; headers[0] != NULL; headers += 2) MHD_add_response_header(response, headers[0], headers[1]);
  exchange->result = MHD_queue_response(exchange->connection, status, response);
  MHD_destroy_response(response);
}

affinity_http *affinity_http_start(
    int listening, affinity_http_handler handler, void *context, unsigned int connections,
    unsigned int connections_per_address, unsigned int idle_seconds, size_t memory) {
  struct affinity_http *server = malloc(sizeof *server);
  if (server == NULL) return NULL;
  server->handler = handler;
  server->context = context;
  server->daemon = MHD_start_daemon(
      MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, server,
      MHD_OPTION_LISTEN_SOCKET, listening, MHD_OPTION_CONNECTION_LIMIT, connections,
      MHD_OPTION_PER_IP_CONNECTION_LIMIT, connections_per_address, MHD_OPTION_CONNECTION_TIMEOUT,
      idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory, MHD_OPTION_END);
  if (server->daemon == NULL) {
    free(server);
    return NULL;
  }
  return server;
}

void affinity_http_stop(affinity_http *server) {
  MHD_stop_daemon(server->daemon);
  free(server);
}
