// A provider stand-in: one thread, epoll, HTTP/1.1 keep-alive.
//
// Answers every POST as a gpt-oss provider answers /v1/chat/completions: one JSON body or, if the
// request says "stream":true, an SSE stream of CHUNKS tokens (a quarter of them reasoning), DELAY_US
// apart; without a delay the whole stream leaves in bursts. Prints its port, dies with its parent.
//
// usage: upstream CHUNKS DELAY_US
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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

enum { MAX_FDS = 65536, READ_SIZE = 1 << 20, MAX_BACKLOG = 1 << 18, TICK_US = 500 };

#define CHUNK \
  "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\"," \
  "\"created\":1760000000,\"model\":\"gpt-oss-120b\",\"system_fingerprint\":\"fp_5a2b\",\"choices\":["
#define DELTA CHUNK "{\"index\":0,\"delta\":"
#define USAGE \
  "\"usage\":{\"prompt_tokens\":85,\"completion_tokens\":%d,\"total_tokens\":%d," \
  "\"prompt_tokens_details\":{\"cached_tokens\":0}," \
  "\"completion_tokens_details\":{\"reasoning_tokens\":%d}}}"

static const char COMPLETION[] =
    "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1760000000,"
    "\"model\":\"gpt-oss-120b\",\"system_fingerprint\":\"fp_5a2b\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"The Eiffel Tower can be up to 15 centimetres "
    "taller in summer, because its iron expands in the heat. Gustave Eiffel also kept a small private "
    "apartment near the top, where he received guests such as Thomas Edison.\",\"reasoning\":\"The "
    "user wants a fun fact. I should give one short and correct fact about the Eiffel Tower.\"},"
    "\"finish_reason\":\"stop\",\"logprobs\":null}],\"usage\":{\"prompt_tokens\":85,"
    "\"completion_tokens\":71,\"total_tokens\":156,\"prompt_tokens_details\":{\"cached_tokens\":0},"
    "\"completion_tokens_details\":{\"reasoning_tokens\":20}}}";

typedef struct {
  char *data;
  size_t start, end, capacity;  // what is between start and end counts
} Buffer;

typedef struct {
  Buffer in, out;
  int left;      // tokens of the running stream still to be sent
  int streaming;
  uint64_t due;  // when the next token is
} Connection;

static Connection *connections[MAX_FDS];
static int epoll, chunks, max_fd;
static uint64_t delay_us;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000ull + t.tv_nsec / 1000;
}

static void append(Buffer *buffer, const char *data, size_t size) {
  if (buffer->start == buffer->end) buffer->start = buffer->end = 0;
  if (buffer->end + size + 1 > buffer->capacity) {
    buffer->capacity = (buffer->end + size) * 2 + 4096;
    buffer->data = realloc(buffer->data, buffer->capacity);
  }
  memcpy(buffer->data + buffer->end, data, size);
  buffer->end += size;
  buffer->data[buffer->end] = 0;
}

static void append_text(Buffer *buffer, const char *text) { append(buffer, text, strlen(text)); }

static void append_event(Buffer *out, const char *payload) {
  char head[32];
  int size = sprintf(head, "%zx\r\ndata: ", strlen(payload) + 8);
  append(out, head, size);
  append_text(out, payload);
  append_text(out, "\n\n\r\n");
}

static void append_token(Connection *c) {
  int number = chunks - c->left--;
  char payload[512];
  if (number == 0)
    append_event(&c->out, DELTA "{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}");
  if (number < chunks / 4)
    sprintf(payload, DELTA "{\"reasoning\":\" thought%d\"},\"finish_reason\":null}]}", number);
  else
    sprintf(payload, DELTA "{\"content\":\" word%d\"},\"finish_reason\":null}]}", number);
  append_event(&c->out, payload);
  c->due += delay_us;
}

static void end_stream(Connection *c) {
  char payload[512];
  sprintf(payload, CHUNK "]," USAGE, chunks, chunks + 85, chunks / 4);
  append_event(&c->out, DELTA "{},\"finish_reason\":\"stop\"}]}");
  append_event(&c->out, payload);
  append_event(&c->out, "[DONE]");
  append_text(&c->out, "0\r\n\r\n");
  c->streaming = 0;
}

static void append_due(Connection *c, uint64_t now) {
  while (c->streaming && c->due <= now && c->out.end - c->out.start < MAX_BACKLOG) {
    if (c->left > 0) append_token(c);
    if (c->left == 0) end_stream(c);
  }
}

static void answer(Connection *c, const char *body, size_t size) {
  if (memmem(body, size, "\"stream\":true", 13)) {
    append_text(&c->out,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    c->streaming = 1;
    c->left = chunks;
    c->due = now_us();
    append_due(c, c->due);
    return;
  }
  char head[160];
  sprintf(head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
          sizeof COMPLETION - 1);
  append_text(&c->out, head);
  append(&c->out, COMPLETION, sizeof COMPLETION - 1);
}

static void answer_whole_requests(Connection *c) {
  while (c->in.start < c->in.end) {
    char *head = c->in.data + c->in.start;
    char *body = strstr(head, "\r\n\r\n");
    if (!body) return;
    body += 4;
    char *length = strcasestr(head, "content-length:");
    size_t size = length && length < body ? strtoul(length + 15, NULL, 10) : 0;
    if (c->in.data + c->in.end < body + size) return;
    answer(c, body, size);
    c->in.start = body + size - c->in.data;
  }
}

static void drop(int fd) {
  Connection *c = connections[fd];
  free(c->in.data);
  free(c->out.data);
  free(c);
  connections[fd] = NULL;
  close(fd);
}

// Sends what it can and waits for room if there is more; 0 if the peer is gone.
static int flush(int fd, Connection *c) {
  while (c->out.start < c->out.end) {
    ssize_t sent = send(fd, c->out.data + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return 0;
    if (sent < 0) break;
    c->out.start += sent;
  }
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (c->out.start < c->out.end) event.events |= EPOLLOUT;
  epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event);
  return 1;
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connections[fd] = calloc(1, sizeof(Connection));
    if (fd > max_fd) max_fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

static void serve(int fd, uint32_t events) {
  static char received[READ_SIZE];
  Connection *c = connections[fd];
  if (!c) return;
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t size = recv(fd, received, sizeof received, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN)) {
      drop(fd);
      return;
    }
    if (size > 0) append(&c->in, received, size);
    answer_whole_requests(c);
  }
  if (!flush(fd, c)) drop(fd);
}

// Sends what has become due on every stream; returns how many go on.
static int pump(uint64_t now) {
  int streams = 0;
  for (int fd = 0; fd <= max_fd; fd++) {
    Connection *c = connections[fd];
    if (!c || !c->streaming) continue;
    size_t before = c->out.end;
    append_due(c, now);
    streams++;
    if (c->out.end != before && !flush(fd, c)) drop(fd);
  }
  return streams;
}

static int listen_on_loopback(void) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (void *)&address, size) || listen(listener, 4096) ||
      getsockname(listener, (void *)&address, &size)) {
    perror("upstream");
    exit(1);
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return listener;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  chunks = atoi(argv[1]);
  delay_us = strtoull(argv[2], NULL, 10);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  epoll = epoll_create1(0);
  int listener = listen_on_loopback();
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[1024];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  int streams = 0;
  uint64_t pumped = 0;
  for (;;) {
    int count = epoll_wait(epoll, ready, 1024, streams ? (delay_us ? 1 : 0) : 1000);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.fd == listener) accept_all(listener);
      else serve(ready[i].data.fd, ready[i].events);
    }
    uint64_t now = now_us();
    if (delay_us && now - pumped < TICK_US) {
      streams = 1;
      continue;
    }
    pumped = now;
    streams = pump(now);
  }
}
