/* SPDX-License-Identifier: Apache-2.0
 *
 * tests/harness/fake_clickhouse.c - see fake_clickhouse.h.
 */
#include "tests/harness/fake_clickhouse.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "ox/buf.h"

#define HEAD_MAX 65536
#define SLOW_MS  300

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum fake_mode mode;
    char stuck[64];
    struct fake_counts counts;
    struct {
        uint64_t token, bytes, block_id;
        uint32_t records;
    } tokens[FAKE_TOKENS_MAX];
    uint32_t hang_after;
    bool any_poison;
    int no_count; /* exception for questions for block ids; 0 = they are answered */
    size_t n_tokens;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static uint8_t seen[FAKE_IDS_MAX];
static bool poison[FAKE_IDS_MAX];

struct exchange {
    int fd;
    char head[HEAD_MAX + 1]; /* request line decoded, headers */
    size_t head_len;
    char *body;
    size_t body_len, body_have;
};

/* The next record's id at or behind *p; false at the end. */
static bool
next_id(const char **p, const char *end, unsigned long *id)
{
    const char *at;
    while ((at = memmem(*p, (size_t)(end - *p), "uid=", 4)) != NULL && end - at >= 12) {
        *p = at + 4;
        *id = strtoul(at + 4, NULL, 10);
        if (at[11] == ';' && *id < FAKE_IDS_MAX)
            return true;
    }
    return false;
}

static uint32_t
count_ids(const char *p, size_t n)
{
    const char *end = p + n;
    unsigned long id;
    uint32_t records = 0;
    for (; next_id(&p, end, &id); records++)
        seen[id] += seen[id] < UINT8_MAX;
    return records;
}

/* Under the lock. */
static bool
is_poisoned(const char *p, size_t n)
{
    const char *end = p + n;
    unsigned long id;
    while (fake.any_poison && next_id(&p, end, &id)) {
        if (poison[id])
            return true;
    }
    return false;
}

/* Under the lock: one block more was decided. */
static void
step(void)
{
    if (fake.hang_after > 0 && --fake.hang_after == 0)
        fake.mode = FAKE_HANG;
}

/* Under the lock: the block becomes part of the table unless its token is there. */
static void
take_block(const struct exchange *x)
{
    const char *token = strstr(x->head, "insert_deduplication_token=");
    if (token == NULL) {
        fake.counts.tokenless++;
        return;
    }
    uint64_t key = XXH3_64bits(token, strcspn(token, "& ")), bytes = XXH3_64bits(x->body, x->body_len);
    for (size_t i = 0; i < fake.n_tokens; i++) {
        if (fake.tokens[i].token == key) {
            fake.counts.repeats++;
            fake.counts.different += fake.tokens[i].bytes != bytes;
            return;
        }
    }
    OX_ASSERT(fake.n_tokens < FAKE_TOKENS_MAX);
    fake.tokens[fake.n_tokens].token = key;
    fake.tokens[fake.n_tokens].bytes = bytes;
    const char *id = strchr(token + sizeof("insert_deduplication_token=ox-"), '-');
    fake.tokens[fake.n_tokens].block_id = id != NULL ? strtoull(id + 1, NULL, 16) : 0;
    bool rows = fake.mode != FAKE_TOKEN_ONLY && fake.mode != FAKE_TOKEN_ONLY_ONCE;
    if (fake.mode == FAKE_TOKEN_AGAIN_ONLY && token[strcspn(token, "& ") - 1] == 'n') {
        rows = false;
        fake.mode = FAKE_OK;
    }
    if (fake.mode == FAKE_TOKEN_ONLY_ONCE)
        fake.mode = FAKE_OK;
    fake.tokens[fake.n_tokens++].records = rows ? count_ids(x->body, x->body_len) : 0;
    fake.counts.blocks++;
}

static bool
say(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

static bool
answer(int fd, int status, int code)
{
    char text[256], head[512];
    int n = code != 0 ? snprintf(text, sizeof(text), "Code: %d. DB::Exception: scripted", code) : 0;
    text[n] = '\0';
    snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\nContent-Length: %d\r\n", status, n);
    if (code != 0)
        snprintf(head + strlen(head), 64, "X-ClickHouse-Exception-Code: %d\r\n", code);
    strcat(head, "\r\n");
    return say(fd, head) && say(fd, text);
}

/* Percent-decodes the request line in place, so that the statement can be searched. */
static void
decode(char *p)
{
    char *out = p;
    for (; *p != '\0'; p++) {
        char hex[3] = {p[0] == '%' ? p[1] : '\0', p[0] == '%' && p[1] != '\0' ? p[2] : '\0', '\0'};
        if (strlen(hex) == 2) {
            *out++ = (char)strtol(hex, NULL, 16);
            p += 2;
        } else {
            *out++ = *p == '+' ? ' ' : *p;
        }
    }
    *out = '\0';
}

/* The head and what came behind it; false when the peer is gone. */
static bool
read_head(struct exchange *x)
{
    char *end = NULL;
    x->head_len = 0;
    while (end == NULL) {
        ssize_t n = recv(x->fd, x->head + x->head_len, HEAD_MAX - x->head_len, 0);
        if (n <= 0)
            return false;
        x->head_len += (size_t)n;
        x->head[x->head_len] = '\0';
        end = memmem(x->head, x->head_len, "\r\n\r\n", 4);
    }
    const char *length = strcasestr(x->head, "content-length:");
    x->body_len = length != NULL && length < end ? strtoul(length + 15, NULL, 10) : 0;
    x->body = malloc(x->body_len + 1);
    x->body_have = x->head_len - (size_t)(end + 4 - x->head);
    memcpy(x->body, end + 4, x->body_have);
    bool expects = strcasestr(x->head, "expect: 100") != NULL;
    *end = '\0';
    decode(x->head);
    return !expects || say(x->fd, "HTTP/1.1 100 Continue\r\n\r\n");
}

static bool
read_body(struct exchange *x, size_t upto)
{
    while (x->body_have < upto) {
        ssize_t n = recv(x->fd, x->body + x->body_have, upto - x->body_have, 0);
        if (n <= 0)
            return false;
        x->body_have += (size_t)n;
    }
    return true;
}

/* "SELECT block_id, count() ... IN (1,2,3) ...": a line for each that is there. */
static bool
answer_block_ids(const struct exchange *x)
{
    char head[128];
    struct ox_buf text = {0};
    x->body[x->body_len] = '\0';
    char *p = strstr(x->body, "IN (");
    p = p != NULL ? p + 4 : x->body + x->body_len;
    pthread_mutex_lock(&fake.lock);
    fake.counts.asked++;
    int no_count = fake.no_count;
    if (no_count != 0) {
        pthread_mutex_unlock(&fake.lock);
        return answer(x->fd, 500, no_count);
    }
    while (*p >= '0' && *p <= '9') {
        uint64_t id = strtoull(p, &p, 10), records = 0;
        for (size_t i = 0; i < fake.n_tokens; i++)
            records += fake.tokens[i].block_id == id ? fake.tokens[i].records : 0;
        if (records > 0)
            ox_buf_printf(&text, "%llu\t%llu\n", (unsigned long long)id, (unsigned long long)records);
        p += *p == ',';
    }
    pthread_mutex_unlock(&fake.lock);
    snprintf(head, sizeof(head), "HTTP/1.1 200 Scripted\r\nContent-Length: %zu\r\n\r\n", text.len);
    ox_buf_append(&text, "", 1);
    bool ok = say(x->fd, head) && say(x->fd, (char *)text.data);
    ox_buf_fini(&text);
    return ok;
}

static bool
looks_at_it(enum fake_mode mode)
{
    return mode == FAKE_OK || mode == FAKE_SLOW || mode == FAKE_CUT_AFTER || mode == FAKE_TOKEN_ONLY ||
           mode == FAKE_TOKEN_ONLY_ONCE || mode == FAKE_TOKEN_AGAIN_ONLY || mode == FAKE_HALF_ANSWER ||
           mode == FAKE_LATE;
}

static bool
insert(struct exchange *x)
{
    char stuck[80];
    pthread_mutex_lock(&fake.lock);
    enum fake_mode mode = fake.mode;
    fake.counts.inserts++;
    snprintf(stuck, sizeof(stuck), "INTO %s ", fake.stuck);
    bool refused = fake.stuck[0] != '\0' && strstr(x->head, stuck) != NULL;
    bool poisoned = looks_at_it(mode) && is_poisoned(x->body, x->body_len);
    fake.counts.poisoned += poisoned;
    if (mode == FAKE_LATE && !poisoned) {
        pthread_mutex_unlock(&fake.lock);
        poll(NULL, 0, FAKE_LATE_MS);
        pthread_mutex_lock(&fake.lock);
    }
    if (!refused && !poisoned && looks_at_it(mode))
        take_block(x);
    if (looks_at_it(mode))
        step();
    while (mode == FAKE_HANG && fake.mode == FAKE_HANG)
        pthread_cond_wait(&fake.changed, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
    if (refused)
        return answer(x->fd, 500, 241);
    if (poisoned)
        return answer(x->fd, 500, 469);
    switch (mode) {
    case FAKE_SLOW:
        poll(NULL, 0, SLOW_MS);
        return answer(x->fd, 200, 0);
    case FAKE_OK:
    case FAKE_TOKEN_AGAIN_ONLY:
    case FAKE_LATE:
        return answer(x->fd, 200, 0);
    case FAKE_UNAVAILABLE:
        return answer(x->fd, 503, 0);
    case FAKE_BUSY:
        return answer(x->fd, 500, 241);
    case FAKE_REFUSE:
        return answer(x->fd, 400, 27);
    case FAKE_HALF_ANSWER:
        (void)say(x->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        return false;
    default:
        return false;
    }
}

static bool
exchange(struct exchange *x)
{
    pthread_mutex_lock(&fake.lock);
    enum fake_mode mode = fake.mode;
    pthread_mutex_unlock(&fake.lock);
    bool is_insert = strstr(x->head, "INSERT INTO otel") != NULL;
    if (mode == FAKE_GONE)
        return false;
    if (is_insert && mode == FAKE_CUT_BODY) {
        (void)read_body(x, x->body_len / 2);
        return false;
    }
    if (!read_body(x, x->body_len))
        return false;
    if (is_insert)
        return insert(x);
    return strncmp(x->body, "SELECT block_id, count()", 24) == 0 ? answer_block_ids(x)
                                                                 : answer(x->fd, 200, 0);
}

static void *
serve(void *arg)
{
    struct exchange *x = arg;
    bool more = true;
    while (more && read_head(x)) {
        more = exchange(x);
        free(x->body);
        x->body = NULL;
    }
    free(x->body);
    close(x->fd);
    free(x);
    return NULL;
}

static void *
accept_all(void *arg)
{
    int fd = *(int *)arg;
    for (;;) {
        struct exchange *x = calloc(1, sizeof(*x));
        pthread_t t;
        x->fd = accept(fd, NULL, NULL);
        int on = 1; /* an answer leaves in two pieces: the second must not wait for an ACK of the first */
        (void)setsockopt(x->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (x->fd < 0 || pthread_create(&t, NULL, serve, x) != 0)
            abort();
        pthread_detach(t);
    }
    return NULL;
}

uint16_t
fake_start(void)
{
    static int fd;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(at);
    pthread_t t;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, 64) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &n) != 0 || pthread_create(&t, NULL, accept_all, &fd) != 0)
        abort();
    pthread_detach(t);
    return ntohs(at.sin_port);
}

void
fake_set(enum fake_mode mode)
{
    pthread_mutex_lock(&fake.lock);
    fake.mode = mode;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

void
fake_stuck_table(const char *table)
{
    pthread_mutex_lock(&fake.lock);
    snprintf(fake.stuck, sizeof(fake.stuck), "%s", table != NULL ? table : "");
    pthread_mutex_unlock(&fake.lock);
}

void
fake_poison(uint32_t id)
{
    pthread_mutex_lock(&fake.lock);
    if (id == UINT32_MAX)
        memset(poison, 0, sizeof(poison));
    else
        poison[id] = true;
    fake.any_poison = id != UINT32_MAX;
    pthread_mutex_unlock(&fake.lock);
}

static void
refuse_counts(int exception)
{
    pthread_mutex_lock(&fake.lock);
    fake.no_count = exception;
    pthread_mutex_unlock(&fake.lock);
}

void
fake_forgetful(bool on)
{
    refuse_counts(on ? 241 : 0);
}

void
fake_damaged(bool on)
{
    refuse_counts(on ? 246 : 0);
}

void
fake_hang_after(uint32_t n)
{
    pthread_mutex_lock(&fake.lock);
    fake.hang_after = n;
    pthread_mutex_unlock(&fake.lock);
}

unsigned
fake_seen(uint32_t id)
{
    pthread_mutex_lock(&fake.lock);
    unsigned n = seen[id];
    pthread_mutex_unlock(&fake.lock);
    return n;
}

struct fake_counts
fake_counts(void)
{
    pthread_mutex_lock(&fake.lock);
    struct fake_counts c = fake.counts;
    pthread_mutex_unlock(&fake.lock);
    return c;
}
