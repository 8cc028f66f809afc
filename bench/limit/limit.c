/*
 * The yardstick of the benchmark: the throughput of one connection to a Redis server with a client that does as little as
 * possible. Commands are encoded before the clock starts, and replies are skipped, not kept.
 * It is not a strict ceiling: a client that wakes less often costs the server less, and can exceed it by a few percent.
 *
 *   cc -O2 -o limit limit.c
 *   limit MODE [--flag=value ...]          prints one line of JSON (fill prints nothing)
 *
 * modes
 *   xadd    deletes the key, then XADD key * msg <payload>, --messages times, written in chunks, replies counted
 *   fill    the same with predictable ids, so that readers can keep several reads in flight
 *   xread   XREAD COUNT page STREAMS key, from the beginning to the end of what `fill` wrote
 *   xgroup  XREADGROUP COUNT page over the same, with a fresh group
 *   lat     one process adds --rate messages a second, another reads them: microseconds from write to read
 *
 * flags (and defaults)
 *   --port=6379        server on 127.0.0.1
 *   --pid=0            process id of the server, to read its CPU time from /proc (Linux); 0: not measured
 *   --key=limit        the stream
 *   --messages=300000  number of messages
 *   --payload=256      bytes of one payload (lat: at least 64)
 *   --chunk=16         KiB of one write (xadd, fill)
 *   --page=1000        entries of one read (xread, xgroup, lat)
 *   --depth=1          reads in flight (xread, xgroup); more than one needs the ids of `fill`
 *   --ack=page         xgroup: `page` sends the XACK of a page together with the next read, `none` reads with NOACK
 *   --rate=5000        messages per second (lat)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
  int port, pid, payload, chunk, page, depth, rate;
  long messages;
  const char *key, *ack;
} opt = {6379, 0, 256, 16, 1000, 1, 5000, 300000, "limit", "page"};

static void die(const char *what) {
  if (errno) perror(what);
  else fprintf(stderr, "%s\n", what);
  exit(1);
}

static void *allocate(size_t bytes) {
  void *p = malloc(bytes);
  if (!p) die("malloc");
  return p;
}

/* ---- clocks ---------------------------------------------------------------------------------------------------- */

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double client_cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

/* Seconds on a CPU of all of the server's threads; finer than the ticks of /proc/<pid>/stat. */
static double server_cpu(void) {
  char path[600];
  snprintf(path, sizeof path, "/proc/%d/task", opt.pid);
  DIR *dir = opt.pid ? opendir(path) : NULL;
  if (!dir) return 0;
  double sum = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", opt.pid, e->d_name);
    FILE *f = fopen(path, "r");
    long long ns;
    if (!f) continue;
    if (fscanf(f, "%lld", &ns) == 1) sum += ns * 1e-9;
    fclose(f);
  }
  closedir(dir);
  return sum;
}

static struct { double wall, client, server; } start;

static void begin(void) {
  start.wall = seconds(CLOCK_MONOTONIC);
  start.client = client_cpu();
  start.server = server_cpu();
}

/* Ends the measured part and prints its line; `more` is additional JSON that starts with a comma. */
static void report(long received, const char *more) {
  double wall = seconds(CLOCK_MONOTONIC) - start.wall;
  double client = client_cpu() - start.client, server = server_cpu() - start.server;
  printf("{\"messages\":%ld,\"seconds\":%.6f,\"clientUs\":%.4f,\"serverUs\":", received, wall,
         client * 1e6 / received);
  if (opt.pid && server > 0) printf("%.4f", server * 1e6 / received);
  else printf("null");
  printf("%s}\n", more);
}

/* ---- socket ---------------------------------------------------------------------------------------------------- */

static int fd;

static void dial(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(opt.port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void wait_for(short events) {
  struct pollfd p = {fd, events, 0};
  poll(&p, 1, -1);
}

/* The number of bytes moved, or 0 if the socket is not ready. */
static size_t try_write(const char *bytes, size_t n) {
  ssize_t k = write(fd, bytes, n);
  if (k < 0 && errno != EAGAIN) die("write");
  return k < 0 ? 0 : k;
}

static size_t try_read(char *into, size_t n) {
  ssize_t k = read(fd, into, n);
  if (k == 0) {
    errno = 0;
    die("the server closed the connection");
  }
  if (k < 0 && errno != EAGAIN) die("read");
  return k < 0 ? 0 : k;
}

static void write_all(const char *bytes, size_t n) {
  for (size_t k; n; bytes += k, n -= k)
    if (!(k = try_write(bytes, n))) wait_for(POLLOUT);
}

/* ---- requests -------------------------------------------------------------------------------------------------- */

static size_t encode(char *out, int count, const char **args) {
  char *at = out + sprintf(out, "*%d\r\n", count);
  for (int i = 0; i < count; i++) {
    size_t n = strlen(args[i]);
    at += sprintf(at, "$%zu\r\n", n);
    memcpy(at, args[i], n);
    memcpy(at + n, "\r\n", 2);
    at += n + 2;
  }
  return at - out;
}

#define ENCODE(out, ...) \
  encode(out, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

/* The id of entry i of `fill`: a hundred entries in each millisecond. */
static int id_of(long i, char *out) { return sprintf(out, "%lld-%ld", 1700000000000LL + i / 100, i % 100 + 1); }

/* ---- replies --------------------------------------------------------------------------------------------------- */

/*
 * Skips replies without building anything. `values` counts the missing values of the current reply. Two things are kept: the
 * number of bulk strings (three for each entry, one for each page, so that entries can be counted), and the last bulk string
 * before an array. In a page of entries that is the id of an entry, and after the page the id of the last entry.
 */
#define ROOM (4 << 20)
static char room[ROOM];
static size_t at, filled;
static long values = 1, bulks, integer;
static char bulk[64], last_id[64];
static int after_bulk;
static void (*on_long_bulk)(const char *bytes);

/* True after a complete reply; otherwise more bytes are needed, and the next call resumes here. */
static int hop(void) {
  for (;;) {
    char *head = room + at, *end = memchr(head, '\n', filled - at);
    if (!end) return 0;
    char *digit = head + 1;
    int negative = *digit == '-';
    long n = 0;
    for (digit += negative; *digit >= '0' && *digit <= '9'; digit++) n = n * 10 + *digit - '0';
    if (negative) n = -n;
    size_t next = end + 1 - room;
    switch (*head) {
      case '$':
        if (n >= 0) {
          if (filled - next < (size_t)n + 2) return 0; /* this header is read again once more bytes have arrived */
          after_bulk = n < (long)sizeof bulk;
          if (after_bulk) {
            memcpy(bulk, room + next, n);
            bulk[n] = 0;
          } else if (on_long_bulk) {
            on_long_bulk(room + next);
          }
          next += n + 2;
        }
        bulks++;
        values--;
        break;
      case '*': case '~': case '>':
        if (after_bulk) memcpy(last_id, bulk, sizeof bulk);
        after_bulk = 0;
        values += (n < 0 ? 0 : n) - 1;
        break;
      case '%':
        values += 2 * n - 1;
        break;
      case '-':
        errno = 0;
        *end = 0;
        die(head);
        break;
      default:
        integer = n;
        values--;
    }
    at = next;
    if (values == 0) {
      values = 1;
      after_bulk = 0;
      return 1;
    }
  }
}

static void reply(void) {
  while (!hop()) {
    memmove(room, room + at, filled - at);
    filled -= at;
    at = 0;
    size_t k = try_read(room + filled, ROOM - filled);
    if (!k) wait_for(POLLIN);
    filled += k;
  }
}

#define CALL(...)                                    \
  do {                                               \
    char out_[1024];                                 \
    write_all(out_, ENCODE(out_, __VA_ARGS__));      \
    reply();                                         \
  } while (0)

/* The number of entries in `pages` replies, which contain only pages of entries with one field each. */
static long entries(long pages) { return (bulks - pages) / 3; }

/* ---- modes ----------------------------------------------------------------------------------------------------- */

static char *payload(void) {
  char *p = allocate(opt.payload + 1);
  memset(p, 'x', opt.payload);
  p[opt.payload] = 0;
  return p;
}

/* Writes `n` bytes of requests in chunks while counting the lines of their replies, two for each. */
static void blast(const char *bytes, size_t n, long requests) {
  static char replies[1 << 18];
  static int line_start = 1;
  size_t sent = 0, chunk = (size_t)opt.chunk << 10;
  for (long lines = 0; lines < requests * 2;) {
    size_t out = 0;
    if (sent < n) sent += out = try_write(bytes + sent, n - sent < chunk ? n - sent : chunk);
    size_t in = try_read(replies, sizeof replies);
    for (char *p = replies, *end = replies + in; p < end; lines += line_start) {
      if (line_start && *p == '-') {
        errno = 0;
        end[-1] = 0;
        die(p);
      }
      char *newline = memchr(p, '\n', end - p);
      line_start = newline != NULL;
      p = newline ? newline + 1 : end;
    }
    if (!out && !in) wait_for(sent < n ? POLLIN | POLLOUT : POLLIN);
  }
}

static void add(int with_ids) {
  char *body = payload(), id[48] = "*";
  size_t one = opt.payload + strlen(opt.key) + 128;
  long batch = (64L << 20) / one;
  if (batch > opt.messages) batch = opt.messages;
  char *requests = allocate(batch * one);
  size_t n = 0;
  CALL("DEL", opt.key);
  if (!with_ids) /* all requests are the same bytes: encoded once, used for every batch */
    for (long i = 0; i < batch; i++) n += ENCODE(requests + n, "XADD", opt.key, id, "msg", body);
  size_t length = n / batch;
  begin();
  for (long done = 0, m; done < opt.messages; done += m) {
    m = opt.messages - done < batch ? opt.messages - done : batch;
    if (with_ids) {
      n = 0;
      for (long i = 0; i < m; i++) {
        id_of(done + i, id);
        n += ENCODE(requests + n, "XADD", opt.key, id, "msg", body);
      }
    } else {
      n = m * length;
    }
    blast(requests, n, m);
  }
  if (!with_ids) report(opt.messages, "");
}

static void read_pages(void) {
  char page[16], out[512], id[64];
  long pages = (opt.messages + opt.page - 1) / opt.page;
  sprintf(page, "%d", opt.page);
  strcpy(last_id, "0-0");
  bulks = 0;
  begin();
  for (long sent = 0, got = 0; got < pages; got++) {
    for (; sent < pages && sent - got < opt.depth; sent++) {
      if (opt.depth > 1 && sent) id_of(sent * opt.page - 1, id);
      else strcpy(id, last_id);
      write_all(out, ENCODE(out, "XREAD", "COUNT", page, "STREAMS", opt.key, id));
    }
    reply();
  }
  report(entries(pages), "");
}

/* The XACK of page `index`, whose ids are known from `fill`. */
static size_t encode_ack(char *out, long index) {
  long first = index * opt.page, m = opt.messages - first < opt.page ? opt.messages - first : opt.page;
  size_t n = sprintf(out, "*%ld\r\n$4\r\nXACK\r\n$%zu\r\n%s\r\n$5\r\nlimit\r\n", m + 3, strlen(opt.key), opt.key);
  for (long i = 0; i < m; i++) {
    char id[48];
    int length = id_of(first + i, id);
    n += sprintf(out + n, "$%d\r\n%s\r\n", length, id);
  }
  return n;
}

static void read_group(void) {
  char page[16], read[512], *out = allocate(1024 + (size_t)opt.page * 48);
  int noack = !strcmp(opt.ack, "none");
  long pages = (opt.messages + opt.page - 1) / opt.page, acks = 0, acked = 0;
  sprintf(page, "%d", opt.page);
  CALL("XGROUP", "DESTROY", opt.key, "limit");
  CALL("XGROUP", "CREATE", opt.key, "limit", "0");
  size_t length = noack ? ENCODE(read, "XREADGROUP", "GROUP", "limit", "me", "COUNT", page, "NOACK", "STREAMS", opt.key, ">")
                        : ENCODE(read, "XREADGROUP", "GROUP", "limit", "me", "COUNT", page, "STREAMS", opt.key, ">");
  bulks = 0;
  begin();
  long sent = 0;
  for (; sent < pages && sent < opt.depth; sent++) write_all(read, length);
  for (long got = 0; got < pages; got++) {
    reply();
    size_t n = noack ? 0 : encode_ack(out, got);
    if (sent < pages) {
      memcpy(out + n, read, length);
      n += length;
      sent++;
    }
    if (n) write_all(out, n);
    /* The first `depth` requests are reads; after them, an XACK precedes every read. */
    if (!noack && got + 1 >= opt.depth && got + 1 < pages) {
      reply();
      acked += integer;
      acks++;
    }
  }
  for (; !noack && acks < pages; acks++) {
    reply();
    acked += integer;
  }
  char more[64];
  sprintf(more, ",\"acked\":%ld", acked);
  report(entries(pages), more);
}

static double *waits;
static long waited;

static void note_wait(const char *bytes) {
  if (waited < opt.messages) waits[waited++] = seconds(CLOCK_MONOTONIC) - atof(bytes);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The writing process: each message carries its write time. */
static void write_paced(void) {
  char *body = payload(), *out = allocate(opt.payload + 512), ignored[1 << 16];
  usleep(200000); /* the reader is waiting by then */
  double first = seconds(CLOCK_MONOTONIC);
  for (long i = 0; i < opt.messages; i++) {
    double rest = first + (double)i / opt.rate - seconds(CLOCK_MONOTONIC);
    if (rest > 0) nanosleep(&(struct timespec){0, rest * 1e9}, NULL);
    body[sprintf(body, "%.7f", seconds(CLOCK_MONOTONIC))] = ' ';
    write_all(out, ENCODE(out, "XADD", opt.key, "*", "msg", body));
    while (try_read(ignored, sizeof ignored)) {}
  }
  usleep(200000); /* the last messages are read before this connection closes */
}

static void latency(void) {
  char page[16], out[512], id[64];
  if (opt.payload < (int)sizeof bulk) die("lat needs --payload of at least 64");
  sprintf(page, "%d", opt.page);
  waits = allocate(opt.messages * sizeof *waits);
  on_long_bulk = note_wait;
  CALL("DEL", opt.key);
  pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    close(fd);
    dial();
    write_paced();
    _exit(0);
  }
  strcpy(last_id, "0-0");
  begin();
  while (waited < opt.messages) {
    strcpy(id, last_id);
    write_all(out, ENCODE(out, "XREAD", "BLOCK", "2000", "COUNT", page, "STREAMS", opt.key, id));
    reply();
  }
  waitpid(child, NULL, 0);
  long skip = opt.messages / 5, n = opt.messages - skip; /* the first fifth warms up */
  qsort(waits + skip, n, sizeof *waits, ascending);
  char more[128];
  sprintf(more, ",\"p50\":%.1f,\"p99\":%.1f", waits[skip + n / 2] * 1e6, waits[skip + n * 99 / 100] * 1e6);
  report(waited, more);
}

int main(int argc, char **argv) {
  enum { PORT = 1, PID, KEY, MESSAGES, PAYLOAD, CHUNK, PAGE, DEPTH, ACK, RATE };
  static const struct option flags[] = {
    {"port", 1, 0, PORT},   {"pid", 1, 0, PID},   {"key", 1, 0, KEY},     {"messages", 1, 0, MESSAGES}, {"payload", 1, 0, PAYLOAD},
    {"chunk", 1, 0, CHUNK}, {"page", 1, 0, PAGE}, {"depth", 1, 0, DEPTH}, {"ack", 1, 0, ACK},           {"rate", 1, 0, RATE},
    {0, 0, 0, 0},
  };
  for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
    switch (flag) {
      case PORT: opt.port = atoi(optarg); break;
      case PID: opt.pid = atoi(optarg); break;
      case KEY: opt.key = optarg; break;
      case MESSAGES: opt.messages = atol(optarg); break;
      case PAYLOAD: opt.payload = atoi(optarg); break;
      case CHUNK: opt.chunk = atoi(optarg); break;
      case PAGE: opt.page = atoi(optarg); break;
      case DEPTH: opt.depth = atoi(optarg); break;
      case ACK: opt.ack = optarg; break;
      case RATE: opt.rate = atoi(optarg); break;
      default: return 2;
    }
  }
  if (optind != argc - 1) {
    fprintf(stderr, "usage: limit xadd|fill|xread|xgroup|lat [--flag=value ...]\n");
    return 2;
  }
  if (opt.messages < 1 || opt.page < 1 || opt.depth < 1 || opt.chunk < 1 || opt.rate < 1 || opt.payload < 0 ||
      opt.payload > 1 << 20 || strlen(opt.key) > 200) {
    fprintf(stderr, "limit: a flag is out of range\n");
    return 2;
  }
  const char *mode = argv[optind];
  dial();
  CALL("HELLO", "3");
  if (!strcmp(mode, "xadd")) add(0);
  else if (!strcmp(mode, "fill")) add(1);
  else if (!strcmp(mode, "xread")) read_pages();
  else if (!strcmp(mode, "xgroup")) read_group();
  else if (!strcmp(mode, "lat")) latency();
  else {
    fprintf(stderr, "limit: no mode %s\n", mode);
    return 2;
  }
  return 0;
}
