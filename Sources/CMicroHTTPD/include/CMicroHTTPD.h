// What the admin port wants of libmicrohttpd: requests in, whole answers out. The library's own header
// stays out of Swift's sight, for its system headers would hide those of Glibc.
#pragma once
#include <stdbool.h>
#include <stddef.h>

typedef struct affinity_http affinity_http;
typedef struct affinity_http_request {
  const char *method;
  const char *path;
  const char *accept; // NULL where there is no such header
  bool is_verbose;    // ?verbose
  void *connection;
} affinity_http_request;

/// Called on the server's thread; answers with `affinity_http_respond`, once.
typedef void (*affinity_http_handler)(void *context, const affinity_http_request *request);

/// One thread, epoll, on a socket that listens already and belongs to the server from here on. Ends a
/// connection on which nothing moves for `idle_seconds`; `memory` bounds what a request's head may take.
/// NULL where there is no thread to be had; the socket is the caller's then.
affinity_http *affinity_http_start(
    int listening, affinity_http_handler handler, void *context, unsigned int connections,
    unsigned int connections_per_address, unsigned int idle_seconds, size_t memory);

/// Ends all connections and the thread.
void affinity_http_stop(affinity_http *server);

/// The body is copied; `headers` are name, value, name, value, …, NULL.
void affinity_http_respond(
    const affinity_http_request *request, unsigned int status, const void *body, size_t size,
    const char *const *headers);
