// A closed-loop load generator for JSON and SSE endpoints: one thread, epoll.
//
// Each of STREAMS connections posts the body, reads the answer to its end (content-length or
// chunked) and posts again, until SECONDS are over; what is running then is still read to its end.
// Where the answer says "connection: close" the next request takes a new connection.
// HEADERS are further header lines, each ended by CRLF. Prints one JSON object:
//
//   requests, failed (other than 200), broken (connections), unfinished, seconds, events,
//   first_byte_ms and whole_ms: {p50, p99}
//
// usage: loadgen PORT PATH BODY_FILE HEADERS STREAMS SECONDS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_BODY = 1 << 20, MAX_HEAD = 16384, MAX_SAMPLES = 1 << 22, TAIL = 7, GRACE_US = 30000000 };

typedef struct {
  int fd;
  size_t sent;
  char head[MAX_HEAD];
  size_t head_size;
  int in_body, status, chunked, closes;
  long length, got;
  char tail[TAIL];  // the body's last bytes, to see a chunked one end
  size_t tail_size;
  uint64_t started, first_byte;
} Connection;

static char request[MAX_BODY + MAX_HEAD];
static size_t request_size;
static struct sockaddr_in server;
static int epoll;
static uint64_t deadline;
static uint32_t *first_byte_us, *whole_us;
static size_t requests;
static long failed, broken, unfinished, events;
static int live;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static void begin(Connection *c) {
  c->sent = c->head_size = c->tail_size = 0;
  c->in_body = c->status = c->chunked = c->closes = 0;
  c->length = -1;
  c->got = 0;
  c->first_byte = 0;
  c->started = now_us();
}

// Opens a connection and begins a request on it; 0 if the server does not accept.
static int open_connection(Connection *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  begin(c);
  if (connect(c->fd, (void *)&server, sizeof server)) return 0;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
  return 1;
}

static void close_connection(Connection *c) {
  close(c->fd);
  c->fd = -1;
}

// Sends what is left of the request; 0 if the connection broke.
static int push(Connection *c) {
  while (c->sent < request_size) {
    ssize_t sent = send(c->fd, request + c->sent, request_size - c->sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    c->sent += sent;
  }
  return 1;
}

// Takes the answer's head from the read; returns how much of the read it was.
static size_t take_head(Connection *c, const char *read, size_t size) {
  size_t room = MAX_HEAD - 1 - c->head_size, before = c->head_size;
  size_t taken = size < room ? size : room;
  memcpy(c->head + before, read, taken);
  c->head_size += taken;
  c->head[c->head_size] = 0;
  char *end = strstr(c->head, "\r\n\r\n");
  if (!end) return size;
  end[2] = 0;
  char *length = strcasestr(c->head, "\r\ncontent-length:");
  if (length) c->length = atol(length + 17);
  c->chunked = strcasestr(c->head, "\r\ntransfer-encoding: chunked") != NULL;
  c->closes = strcasestr(c->head, "\r\nconnection: close") != NULL;
  c->status = atoi(c->head + 9);
  c->in_body = 1;
  return end + 4 - c->head - before;
}

static void count_events(const char *data, size_t size) {
  const char *end = data + size;
  while ((data = memmem(data, end - data, "data: ", 6))) {
    events++;
    data += 6;
  }
}

// Takes a piece of the body; 1 once the answer is complete.
static int take_body(Connection *c, const char *data, size_t size) {
  if (!size) return c->length == 0;
  if (!c->first_byte) c->first_byte = now_us();
  count_events(data, size);
  c->got += size;
  if (!c->chunked) return c->length >= 0 && c->got >= c->length;
  char joined[2 * TAIL];
  size_t piece = size < TAIL ? size : TAIL, total = c->tail_size + piece;
  memcpy(joined, c->tail, c->tail_size);
  memcpy(joined + c->tail_size, data + size - piece, piece);
  c->tail_size = total < TAIL ? total : TAIL;
  memcpy(c->tail, joined + total - c->tail_size, c->tail_size);
  return c->tail_size == TAIL && !memcmp(c->tail, "\r\n0\r\n\r\n", TAIL);
}

static void count_answer(Connection *c) {
  uint64_t now = now_us();
  if (requests < MAX_SAMPLES) {
    first_byte_us[requests] = (c->first_byte ? c->first_byte : now) - c->started;
    whole_us[requests++] = now - c->started;
  }
  failed += c->status != 200;
}

// Goes on with the next request, on a new connection if the old one cannot be used; or ends.
static void go_on(Connection *c, int reusable) {
  if (!reusable || now_us() >= deadline) close_connection(c);
  if (now_us() >= deadline) {
    live--;
    return;
  }
  if (reusable) {
    begin(c);
    if (push(c)) return;
    close_connection(c);
  }
  if (!open_connection(c)) {
    broken++;
    live--;
    close_connection(c);
  }
}

static void serve(Connection *c) {
  static char received[1 << 18];
  if (c->fd < 0) return;
  int alive = push(c);
  while (alive) {
    ssize_t size = recv(c->fd, received, sizeof received, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) break;
    size_t head = c->in_body ? 0 : take_head(c, received, size);
    if (!c->in_body || !take_body(c, received + head, size - head)) continue;
    count_answer(c);
    go_on(c, !c->closes);
    if (c->fd < 0) return;
  }
  broken++;
  go_on(c, 0);
}

static void read_request(char **argv) {
  static char body[MAX_BODY];
  FILE *file = fopen(argv[3], "rb");
  size_t size = file ? fread(body, 1, sizeof body, file) : 0;
  int head = snprintf(request, MAX_HEAD,
                      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\n"
                      "Accept: */*\r\n%sContent-Length: %zu\r\n\r\n",
                      argv[2], argv[1], argv[4], size);
  if (!size || head >= MAX_HEAD) {
    fprintf(stderr, "loadgen: the request cannot be read or is too large\n");
    exit(1);
  }
  memcpy(request + head, body, size);
  request_size = head + size;
}

static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double quantile_ms(const uint32_t *sorted_us, double q) {
  return requests ? sorted_us[(size_t)((requests - 1) * q)] / 1000.0 : 0;
}

static void report(double seconds) {
  qsort(first_byte_us, requests, sizeof *first_byte_us, compare);
  qsort(whole_us, requests, sizeof *whole_us, compare);
  printf("{\"requests\":%zu,\"failed\":%ld,\"broken\":%ld,\"unfinished\":%ld,\"seconds\":%.6f,"
         "\"events\":%ld,\"first_byte_ms\":{\"p50\":%.3f,\"p99\":%.3f},"
         "\"whole_ms\":{\"p50\":%.3f,\"p99\":%.3f}}\n",
         requests, failed, broken, unfinished, seconds, events, quantile_ms(first_byte_us, .5),
         quantile_ms(first_byte_us, .99), quantile_ms(whole_us, .5), quantile_ms(whole_us, .99));
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  read_request(argv);
  server = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(atoi(argv[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  epoll = epoll_create1(0);
  live = atoi(argv[5]);
  first_byte_us = malloc(MAX_SAMPLES * sizeof *first_byte_us);
  whole_us = malloc(MAX_SAMPLES * sizeof *whole_us);
  Connection *connections = calloc(live, sizeof *connections);
  uint64_t began = now_us();
  deadline = began + (uint64_t)(atof(argv[6]) * 1e6);
  for (int i = 0, count = live; i < count; i++) {
    if (!open_connection(&connections[i])) {
      perror("loadgen");
      return 1;
    }
  }
  struct epoll_event ready[512];
  while (live) {
    int count = epoll_wait(epoll, ready, 512, 200);
    for (int i = 0; i < count; i++) serve(ready[i].data.ptr);
    if (now_us() > deadline + GRACE_US) {
      unfinished = live;
      break;
    }
  }
  report((now_us() - began) / 1e6);
  return 0;
}
