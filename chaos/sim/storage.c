/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/sim/storage.c - ClickHouse as the node sees it: takes blocks once per token, and has its weather.
 *
 * Owns:    what is stored, the tokens that each table remembers, inserts whose client has given up.
 * Threads: one; called from inside dirty jobs.
 * Bounds:  WINDOW tokens per table, as in the schema.
 * Flow:    fakes.c (ox__call_perform) -> here.
 *
 * What an insert did stands when the call is made; how long it takes is said to the runtime (ox_runtime_job_takes), so
 * the node may die, or the weather change, before it hears of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

#include "chaos/sim/sim.h"
#include "tests/harness/native_reader.h"

#define WINDOW      1000u
#define UIDS_MAX    (SIM_REQUESTS_MAX * SIM_RECORDS_MAX)
#define LATE_MAX    256u
#define ARRIVED_MAX 4096u
#define SEEN_MAX    32768u /* a power of two */
#define ERROR_PPM   20000u

enum weather { GOOD, DOWN, BUSY, SLOW, LOSSY, HANGS, REFUSES, WEATHER__COUNT };
static const char *const weather_names[WEATHER__COUNT] = {"good",  "down",     "busy",   "slow",
                                                          "lossy", "hangs up", "refuses"};

struct token {
    char text[64];
    uint64_t bytes_hash;
};

struct arrived {
    uint64_t block_id, rows;
};

struct table {
    char name[32];
    struct arrived arrived[ARRIVED_MAX]; /* rows by block, in order of arrival */
    uint32_t n_arrived;
    struct token window[WINDOW];
    uint32_t n; /* ever */
};

/* An insert that the server goes on with although its client has left. */
struct late {
    bool used;
    char table[32], token[64];
    void *bytes;
    size_t n;
    bool zstd;
};

/* The records of each block that was ever looked at: a block is looked at often, and read once. */
struct seen {
    uint64_t hash, block_id;
    uint32_t rows;
    uint32_t n;
    uint32_t *uids;
};

struct sim_storage {
    enum weather weather;
    struct table tables[8];
    uint32_t n_tables;
    uint8_t stored[UIDS_MAX];
    struct late late[LATE_MAX];
    struct seen *seen; /* SEEN_MAX, by hash */
    uint32_t n_seen;
    uint64_t errors; /* that it has counted: ox_parts_errors */
};

struct sim_storage *
sim_storage_new(void)
{
    struct sim_storage *st = calloc(1, sizeof(*st));
    OX_ASSERT(st != NULL);
    st->seen = calloc(SEEN_MAX, sizeof(*st->seen));
    OX_ASSERT(st->seen != NULL);
    return st;
}

void
sim_storage_free(struct sim_storage *st)
{
    for (uint32_t i = 0; i < LATE_MAX; i++)
        free(st->late[i].bytes);
    for (uint32_t i = 0; i < SEEN_MAX; i++)
        free(st->seen[i].uids);
    free(st->seen);
    free(st);
}

uint32_t
sim_storage_count(const struct sim_storage *st, uint32_t uid)
{
    return st->stored[uid];
}

/* ---- blocks ---- */

struct plain {
    const void *bytes;
    size_t n;
    struct ox_buf own;
};

/* The frame does not say how long its content is. */
static bool
unpack(const void *bytes, size_t n, bool zstd, struct plain *out)
{
    ox_buf_init(&out->own);
    out->bytes = bytes;
    out->n = n;
    if (!zstd)
        return true;
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {bytes, n, 0};
    size_t left = 1;
    while (left != 0 && !ZSTD_isError(left) && !out->own.failed) {
        size_t before = in.pos;
        ZSTD_outBuffer to = {ox_buf_reserve(&out->own, 1 << 16), 1 << 16, 0};
        left = ZSTD_decompressStream(stream, &to, &in);
        out->own.len += to.pos;
        if (in.pos == before && to.pos == 0)
            break;
    }
    ZSTD_freeDStream(stream);
    out->bytes = out->own.data;
    out->n = out->own.len;
    return left == 0;
}

static void
uid_of(const char *text, const char *table, void (*each)(void *arg, uint32_t uid), void *arg)
{
    unsigned uid;
    const char *at = strstr(text, "uid=");
    if (at == NULL || sscanf(at, "uid=%u;", &uid) != 1 || uid >= UIDS_MAX)
        sim_fail("a row of %s that no sender has sent: %.100s", table, text);
    each(arg, uid);
}

static void
add_uid(void *arg, uint32_t uid)
{
    struct seen *b = arg;
    b->uids[b->n++] = uid;
}

static void
read_uids(const char *table, const char *column, const struct plain *p, struct seen *b)
{
    struct native_block *block = native_read(p->bytes, p->n);
    b->uids = calloc(block->n_rows + 1, sizeof(*b->uids));
    OX_ASSERT(b->uids != NULL);
    b->rows = (uint32_t)block->n_rows;
    b->block_id = block->n_rows > 0 ? strtoull(native_cell(block, "block_id", 0), NULL, 10) : 0;
    for (size_t row = 0; column != NULL && row < block->n_rows; row++) {
        const char *cell = native_cell(block, column, row);
        if (strcmp(column, "value") == 0)
            add_uid(b, (uint32_t)strtod(cell, NULL));
        else
            uid_of(cell, table, add_uid, b);
    }
    native_free(block);
}

static struct seen *
place_of(struct sim_storage *st, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (SEEN_MAX - 1);
    while (st->seen[i].hash != 0 && st->seen[i].hash != hash)
        i = (i + 1) & (SEEN_MAX - 1);
    return &st->seen[i];
}

static const struct seen *
look_at(struct sim_storage *st, const char *table, const void *bytes, size_t n, bool zstd)
{
    static const struct {
        const char *table, *column;
    } columns[] = {{"otel_logs", "body"}, {"otel_traces", "name"}, {"otel_metrics", "value"}};
    struct plain p;
    const char *column = NULL;
    for (size_t i = 0; i < OX_COUNT(columns); i++)
        column = strcmp(table, columns[i].table) == 0 ? columns[i].column : column;
    uint64_t hash = XXH64(bytes, n, 1) | 1;
    struct seen *b = place_of(st, hash);
    if (b->hash != 0)
        return b;
    OX_ASSERT(st->n_seen++ < SEEN_MAX / 2);
    if (!unpack(bytes, n, zstd, &p))
        sim_fail("a block of %s that does not unpack", table);
    b->hash = hash;
    read_uids(table, column, &p, b);
    ox_buf_fini(&p.own);
    return b;
}

void
sim_block_uids(const char *table, const void *bytes, size_t n, bool zstd,
               void (*each)(void *arg, uint32_t uid), void *arg)
{
    const struct seen *b = look_at(sim_now->storage, table, bytes, n, zstd);
    for (uint32_t i = 0; b != NULL && i < b->n; i++)
        each(arg, b->uids[i]);
}

void
sim_file_uids(const void *bytes, size_t n, void (*each)(void *arg, uint32_t uid), void *arg)
{
    const struct seen *b = place_of(sim_now->storage, XXH64(bytes, n, 1) | 1);
    for (uint32_t i = 0; i < b->n; i++)
        each(arg, b->uids[i]);
}

/* ---- taking a block ---- */

static struct table *
table_of(struct sim_storage *st, const char *name)
{
    for (uint32_t i = 0; i < st->n_tables; i++) {
        if (strcmp(st->tables[i].name, name) == 0)
            return &st->tables[i];
    }
    OX_ASSERT(st->n_tables < OX_COUNT(st->tables));
    struct table *t = &st->tables[st->n_tables++];
    snprintf(t->name, sizeof(t->name), "%s", name);
    return t;
}

static void
count(void *arg, uint32_t uid)
{
    struct sim_storage *st = arg;
    if (uid < UIDS_MAX && st->stored[uid] < UINT8_MAX)
        st->stored[uid]++;
    sim_now->result.stored++;
    sim_note("record %u of request %u is stored", uid % SIM_RECORDS_MAX, uid / SIM_RECORDS_MAX);
    sim_hash(uid);
}

static void
add_arrived(struct table *t, uint64_t block_id, uint32_t rows)
{
    uint32_t i = 0;
    while (i < t->n_arrived && t->arrived[i].block_id != block_id)
        i++;
    OX_ASSERT(i < ARRIVED_MAX);
    t->n_arrived += i == t->n_arrived;
    t->arrived[i].block_id = block_id;
    t->arrived[i].rows += rows;
}

static const struct token *
known(const struct table *t, const char *token)
{
    uint32_t have = t->n < WINDOW ? t->n : WINDOW;
    for (uint32_t i = 0; i < have; i++) {
        if (strcmp(t->window[i].text, token) == 0)
            return &t->window[i];
    }
    return NULL;
}

static void
take(struct sim_storage *st, const char *table, const char *token, const void *bytes, size_t n, bool zstd)
{
    struct table *t = table_of(st, table);
    uint64_t hash = XXH64(bytes, n, 0);
    const struct token *before = known(t, token);
    sim_hash(hash);
    if (before != NULL && sim_now->opt.broken != SIM_BREAK_NO_TOKEN) {
        sim_now->result.resent++;
        if (before->bytes_hash != hash)
            sim_fail("the token %s of %s came again with other bytes", token, table);
        return;
    }
    struct token *now = &t->window[t->n++ % WINDOW];
    snprintf(now->text, sizeof(now->text), "%s", token);
    now->bytes_hash = hash;
    const struct seen *b = look_at(st, table, bytes, n, zstd);
    add_arrived(t, b->block_id, b->rows);
    sim_block_uids(table, bytes, n, zstd, count, st);
}

/* Against a constraint that stands while storage REFUSES: it is about single rows, and of logs only, whose text a dead
 * letter shows. */
static bool
offends(struct sim_storage *st, const char *table, const void *bytes, size_t n, bool zstd)
{
    const struct seen *b = look_at(st, table, bytes, n, zstd);
    bool found = false;
    for (uint32_t i = 0; i < b->n && strcmp(table, "otel_logs") == 0; i++)
        found = found || b->uids[i] % 8 == 5;
    return found;
}

/* ---- late inserts ---- */

static void
on_late(uint64_t i)
{
    struct sim_storage *st = sim_now->storage;
    struct late *l = &st->late[i];
    /* What a constraint may refuse never comes late: nobody could know any more which of its rows are there. */
    if (!sim_now->plan.poison || !offends(st, l->table, l->bytes, l->n, l->zstd))
        take(st, l->table, l->token, l->bytes, l->n, l->zstd);
    free(l->bytes);
    *l = (struct late){0};
}

static void
take_later(struct sim_storage *st, const struct ox_storage_insert *in, uint64_t at_ns)
{
    uint32_t i = 0;
    while (i < LATE_MAX && st->late[i].used)
        i++;
    if (i == LATE_MAX)
        return;
    struct late *l = &st->late[i];
    l->used = true;
    l->zstd = in->encoding == OX_STORAGE_ZSTD;
    l->n = in->len;
    l->bytes = malloc(in->len);
    OX_ASSERT(l->bytes != NULL);
    memcpy(l->bytes, in->data, in->len);
    snprintf(l->table, sizeof(l->table), "%s", in->table);
    snprintf(l->token, sizeof(l->token), "%s", in->token);
    sim_at(at_ns, on_late, i);
}

/* ---- weather ---- */

void
sim_storage_weather(struct sim_storage *st)
{
    st->weather = sim_chance(300000) ? GOOD : (enum weather)sim_between(0, WEATHER__COUNT - 2);
    if (sim_now->plan.poison && sim_chance(100000))
        st->weather = REFUSES;
    sim_note("storage is %s", weather_names[st->weather]);
}

void
sim_storage_calm(struct sim_storage *st)
{
    st->weather = GOOD;
}

ox_err
sim_storage_migrate(struct sim_storage *st)
{
    ox_runtime_job_takes(sim_between(0, 100) * SIM_MS);
    return st->weather == DOWN || sim_now->ghost ? OX_E_STORAGE_DOWN : OX_OK;
}

ox_err
sim_storage_ping(struct sim_storage *st)
{
    return st->weather == DOWN || st->weather == HANGS || sim_now->ghost ? OX_E_STORAGE_DOWN : OX_OK;
}

/* It has views of no table, and its parts are sound; but now and then it counts an error, as if a merge had met one. */
static bool
answer_other(struct sim_storage *st, const char *text, struct ox_buf *answer)
{
    static const char views[] = "SELECT as_select FROM system.tables",
                      errors[] = "SELECT sum(value) FROM system.errors";
    static const char of_block[] = "SELECT DISTINCT _part", parts[] = "SELECT table, name, partition_id";
    if (strncmp(text, errors, sizeof(errors) - 1) == 0) {
        st->errors += sim_chance(ERROR_PPM);
        ox_buf_printf(answer, "%llu\n", (unsigned long long)st->errors);
        return true;
    }
    return strncmp(text, views, sizeof(views) - 1) == 0 ||
           strncmp(text, of_block, sizeof(of_block) - 1) == 0 || strncmp(text, parts, sizeof(parts) - 1) == 0;
}

ox_err
sim_storage_query(struct sim_storage *st, struct ox_str sql, struct ox_buf *answer)
{
    char text[16384], name[32];
    ox_runtime_job_takes(sim_between(0, 50) * SIM_MS);
    if (sim_storage_ping(st) != OX_OK || (st->weather == LOSSY && sim_chance(300000)))
        return OX_E_STORAGE_DOWN;
    snprintf(text, sizeof(text), "%.*s", (int)sql.n, sql.p);
    if (answer_other(st, text, answer))
        return OX_OK;
    if (sscanf(text, "SELECT block_id, count() FROM %31s WHERE block_id IN", name) != 1)
        sim_fail("a question that the script cannot answer: %.200s", text);
    const struct table *t = table_of(st, name);
    for (const char *at = strchr(strstr(text, " IN"), '('); *at == '(' || *at == ',';) {
        char *end;
        uint64_t id = strtoull(at + 1, &end, 10);
        for (uint32_t i = 0; i < t->n_arrived; i++) {
            if (t->arrived[i].block_id == id)
                ox_buf_printf(answer, "%llu\t%llu\n", (unsigned long long)id,
                              (unsigned long long)t->arrived[i].rows);
        }
        at = end;
    }
    return OX_OK;
}

static bool
is_poison(const struct ox_storage_insert *in)
{
    struct plain p;
    bool found = sim_now->plan.poison && unpack(in->data, in->len, in->encoding == OX_STORAGE_ZSTD, &p);
    if (!found)
        return false;
    found = memmem(p.bytes, p.n, "poison", 6) != NULL;
    ox_buf_fini(&p.own);
    return found;
}

static ox_err
hang(struct sim_storage *st, const struct ox_storage_insert *in)
{
    uint64_t timeout_ns = (uint64_t)in->timeout_ms * SIM_MS;
    ox_runtime_job_takes(timeout_ns);
    if (sim_chance(300000))
        take(st, in->table, in->token, in->data, in->len, in->encoding == OX_STORAGE_ZSTD);
    else if (sim_chance(500000))
        take_later(st, in, sim_time() + sim_between(0, 2 * timeout_ns));
    return OX_E_TIMEOUT;
}

static ox_err
answer(struct sim_storage *st, const struct ox_storage_insert *in)
{
    bool zstd = in->encoding == OX_STORAGE_ZSTD;
    ox_runtime_job_takes(st->weather == SLOW ? sim_between(0, 5000) * SIM_MS
                                             : sim_between(100, 20000) * 1000);
    switch (st->weather) {
    case DOWN:
        return OX_E_STORAGE_DOWN;
    case BUSY:
        if (sim_chance(700000))
            return OX_E_STORAGE_BUSY;
        break;
    case REFUSES:
        if (offends(st, in->table, in->data, in->len, zstd) &&
            known(table_of(st, in->table), in->token) == NULL)
            return OX_E_STORAGE_REFUSED;
        break;
    case LOSSY:
        if (sim_chance(400000))
            return OX_E_STORAGE_DOWN;
        take(st, in->table, in->token, in->data, in->len, zstd);
        return sim_chance(600000) ? OX_E_STORAGE_DOWN : OX_OK;
    case HANGS:
        if (sim_chance(600000))
            return hang(st, in);
        break;
    default:
        break;
    }
    take(st, in->table, in->token, in->data, in->len, zstd);
    return OX_OK;
}

ox_err
sim_storage_insert(struct sim_storage *st, const struct ox_storage_insert *in, struct ox_diag *diag)
{
    ox_err err;
    if (sim_now->ghost)
        return OX_E_STORAGE_DOWN;
    sim_now->result.inserts++;
    if (in->token == NULL || in->token[0] == '\0')
        sim_fail("an insert into %s without a token", in->table);
    (void)look_at(st, in->table, in->data, in->len,
                  in->encoding == OX_STORAGE_ZSTD); /* known when a file holds it */
    if (is_poison(in))
        err = OX_E_STORAGE_REFUSED;
    else
        err = answer(st, in);
    sim_note("insert %s %s: %zu bytes, %s", in->table, in->token, in->len, ox_err_text(err));
    sim_hash(err);
    if (err != OX_OK)
        (void)!ox_diag_set(diag, err, NULL, -1, "scripted");
    return err;
}
