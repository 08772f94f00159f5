/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/dlq_replay.c - `observex dlq replay`: sends refused records to a running server again.
 *
 * Owns:    DIR/dlq/replay.lock while it runs, and the marks.
 * Threads: the main thread.
 * Bounds:  GROUP_MAX records on their way between two syncs; one in memory.
 * Fails:   OX_EXIT_FAILED when a record was refused again or the server does not answer.
 * Flow:    dead-letter lines -> POST /v1/... of their tenant -> marks (actors/gateway/replay_marks.c).
 *
 * A record leaves only after the mark "sent" is durable. Whatever stops the replay, at most the records of one group stay
 * marked so; they are left alone until --in-doubt asks for them. A record that is tried again at once because no answer
 * came is the same request to the server, which stores it once (gateway.duplicate_window). One that is refused again
 * stands in the dead-letter file again, as a new line with its own id; this one is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "cmd/dlq.h"
#include "cmd/node_internal.h"
#include "cmd/otlp_answer.h"
#include "cmd/otlp_client.h"
#include "cmd/text.h"
#include "ox/clock.h"
#include "ox/disk.h"

/* Marked with one sync: what may be in doubt after a power loss, against the cost of a sync per record. */
#define GROUP_MAX       64
#define GROUP_BYTES_MAX (8u << 20)
/* How long one record is tried; well below the default window in which the server knows it again. */
#define TRIES_MS     30000
#define PAUSE_MS     500
#define REFUSALS_MAX 20 /* shown one by one */

struct item {
    struct ox_buf request;
    char id[OX_DEAD_LETTER_ID_LEN + 1];
    uint64_t number;
    char tenant[OX_TENANT_MAX + 1];
    enum ox_signal signal;
};

struct replay {
    const struct dlq_request *q;
    struct dlq_walk walk;
    char url[256];
    bool derive; /* keys of tenants from the data directory's secret */
    char secret[OX_DEV_SECRET_HEX + 1];
    struct ox_otlp_client *client; /* of `tenant` */
    char tenant[OX_TENANT_MAX + 1];
    struct item group[GROUP_MAX];
    size_t n_group, group_bytes;
    uint64_t begun_ns;
    uint64_t sent, stored, refused, failed, done_before, in_doubt, unusable;
    bool over; /* the server is gone, or was told to stop */
};

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static void
say_one(const struct replay *r, const struct item *it, const char *outcome, const char *why)
{
    if (r->q->json) {
        dlq_emit(json_pack("{s:I,s:s,s:s,s:s,s:s,s:s}", "n", (json_int_t)it->number, "id", it->id, "tenant",
                           it->tenant, "signal", ox_signal_name(it->signal), "outcome", outcome, "message",
                           why));
        return;
    }
    if (strcmp(outcome, "stored") == 0 || r->refused + r->failed > REFUSALS_MAX)
        return;
    printf("%8llu  %s  %s: ", (unsigned long long)it->number, it->id, outcome);
    cmd_text_print(why, 200, false);
    putchar('\n');
}

/* ---- sending ---- */

static struct ox_otlp_client *
client_of(struct replay *r, const char *tenant)
{
    char key[OX_DEV_KEY_MAX];
    struct ox_tenant_id id;
    if (r->client != NULL && strcmp(r->tenant, tenant) == 0)
        return r->client;
    ox_otlp_client_free(r->client);
    r->client = NULL;
    snprintf(r->tenant, sizeof(r->tenant), "%s", tenant);
    if (!r->derive) {
        r->client = ox_otlp_client_new(r->url, r->q->key);
    } else if (ox_tenant_id_parse(ox_str_of(tenant), &id, NULL) == OX_OK) {
        ox_keystore_dev_key(ox_str_of(r->secret), &id, key);
        r->client = ox_otlp_client_new(r->url, key);
    }
    return r->client;
}

static bool
is_retryable(long status)
{
    return status == 429 || status == 502 || status == 503 || status == 504;
}

/* Posts until there is an answer that says something of the record. *doubt: a request may have arrived unanswered. */
static ox_err
post(struct replay *r, const struct item *it, struct ox_otlp_reply *reply, bool *doubt, struct ox_diag *diag)
{
    struct ox_otlp_client *client = client_of(r, it->tenant);
    *doubt = false;
    if (client == NULL)
        return ox_diag_set(diag, OX_E_NOMEM, NULL, -1, "no memory to send, or \"%s\" is no tenant",
                           it->tenant);
    for (int waited = 0;; waited += PAUSE_MS) {
        ox_err err = ox_otlp_client_post(client, it->signal, true, ox_buf_str(&it->request), reply, diag);
        if (err == OX_OK && !is_retryable(reply->status))
            return OX_OK;
        *doubt = *doubt || (err != OX_OK && reply->connected);
        if (waited < TRIES_MS && !stopped)
            (void)poll(NULL, 0, PAUSE_MS);
        else
            return err != OX_OK ? err
                                : ox_diag_set(diag, OX_E_UNAVAILABLE, NULL, -1,
                                              "%s answers %ld; replay later", r->url, reply->status);
    }
}

/* No answer, or one that says nothing of the record. A wrong key or a server that is gone will not be better for the
 * next record. */
static enum ox_replay_state
failed(struct replay *r, const struct item *it, ox_err err, const struct ox_otlp_reply *reply, bool doubt,
       const struct ox_diag *diag)
{
    struct ox_otlp_answer answer;
    char why[sizeof(answer.why) + 24];
    ox_otlp_answer_read(reply->status, &reply->body, &answer);
    if (err == OX_OK)
        snprintf(why, sizeof(why), "%ld %s", reply->status, answer.why);
    r->failed++;
    r->over = err != OX_OK || reply->status == 401 || reply->status == 403;
    say_one(r, it, doubt ? "in_doubt" : "failed", err == OX_OK ? why : diag->text);
    return doubt ? OX_REPLAY_SENT : OX_REPLAY_FAILED;
}

static ox_err
note(struct replay *r, const char *id, enum ox_replay_state state)
{
    return ox_replay_marks_put(r->walk.marks, id, state, ox_clock_realtime_ns(ox_clock_real()));
}

static ox_err
send_one(struct replay *r, const struct item *it)
{
    struct ox_otlp_reply reply = {0};
    struct ox_diag diag;
    bool doubt;
    enum ox_replay_state state;
    ox_diag_clear(&diag);
    ox_buf_init(&reply.body);
    ox_err err = post(r, it, &reply, &doubt, &diag);
    if (err != OX_OK || reply.status != 200) {
        state = failed(r, it, err, &reply, doubt, &diag);
    } else {
        struct ox_otlp_answer answer;
        ox_otlp_answer_read(reply.status, &reply.body, &answer);
        bool refused = answer.rejected > 0;
        state = refused ? OX_REPLAY_REFUSED : OX_REPLAY_STORED;
        r->refused += refused;
        r->stored += !refused;
        say_one(r, it, refused ? "refused" : "stored", answer.why);
    }
    ox_buf_fini(&reply.body);
    r->sent++;
    return state != OX_REPLAY_SENT ? note(r, it->id, state) : OX_OK;
}

/* "sent" for all, durably; each its outcome; once more durably. Those that the end kept here were never sent. */
static ox_err
send_group(struct replay *r)
{
    ox_err err = OX_OK;
    for (size_t i = 0; i < r->n_group && err == OX_OK; i++)
        err = note(r, r->group[i].id, OX_REPLAY_SENT);
    if (err == OX_OK)
        err = ox_replay_marks_sync(r->walk.marks);
    for (size_t i = 0; i < r->n_group && err == OX_OK; i++)
        err = r->over || stopped ? note(r, r->group[i].id, OX_REPLAY_FAILED) : send_one(r, &r->group[i]);
    if (err == OX_OK)
        err = ox_replay_marks_sync(r->walk.marks);
    r->n_group = 0;
    r->group_bytes = 0;
    if (err != OX_OK)
        ox_complain("%s/dlq/replayed.log cannot be written: %s; what was on its way is marked as sent",
                    r->q->data, ox_err_text(err));
    return err;
}

/* ---- choosing ---- */

static bool
signal_of(const char *name, enum ox_signal *out)
{
    for (int s = 0; s < OX_SIGNAL__COUNT; s++) {
        if (strcmp(name, ox_signal_name((enum ox_signal)s)) == 0) {
            *out = (enum ox_signal)s;
            return true;
        }
    }
    return false;
}

/* Counts what is not sent, and says whether this one is. */
static bool
choose(struct replay *r, const struct ox_dead_letter_record *record, enum ox_replay_state state)
{
    enum ox_signal signal;
    /* Lines of this very replay's refusals come after its beginning. */
    if (record->damaged || record->time_ns >= r->begun_ns || !dlq_matches(r->q, record))
        return false;
    if (record->request.n == 0 || !signal_of(record->signal, &signal) ||
        strlen(record->tenant) > OX_TENANT_MAX) {
        r->unusable++;
        return false;
    }
    if (state == OX_REPLAY_STORED || state == OX_REPLAY_REFUSED) {
        r->done_before++;
        return false;
    }
    if (state == OX_REPLAY_SENT && !r->q->in_doubt) {
        r->in_doubt++;
        return false;
    }
    return true;
}

static ox_err
take(struct replay *r, const struct ox_dead_letter_record *record)
{
    struct item *it = &r->group[r->n_group];
    ox_buf_reset(&it->request);
    ox_buf_append_str(&it->request, record->request);
    if (it->request.failed) {
        ox_complain("no memory for record %llu", (unsigned long long)record->number);
        return OX_E_NOMEM;
    }
    it->number = record->number;
    memcpy(it->id, record->id, sizeof(it->id));
    snprintf(it->tenant, sizeof(it->tenant), "%s", record->tenant);
    (void)signal_of(record->signal, &it->signal);
    r->n_group++;
    r->group_bytes += record->request.n;
    if (r->q->dry_run) {
        r->sent++;
        r->n_group = 0;
        if (r->q->json)
            say_one(r, it, "would_send", record->reason);
        return OX_OK;
    }
    return r->n_group == GROUP_MAX || r->group_bytes >= GROUP_BYTES_MAX ? send_group(r) : OX_OK;
}

static ox_err
walk_all(struct replay *r)
{
    struct ox_dead_letter_record record;
    enum ox_replay_state state;
    ox_err err = OX_OK;
    while (err == OX_OK && !r->over && !stopped && (err = dlq_next(&r->walk, &record, &state)) == OX_OK) {
        if (choose(r, &record, state))
            err = take(r, &record);
    }
    bool whole = err == OX_E_END;
    err = whole ? OX_OK : err;
    if (err == OX_OK && r->n_group > 0)
        err = send_group(r);
    if (whole && err == OX_OK && !r->q->dry_run && ox_replay_marks_trim(r->walk.marks) != OX_OK)
        ox_complain("marks of expired records stay in %s/dlq/replayed.log for now", r->q->data);
    return err;
}

/* ---- where to, and alone ---- */

static bool
find_server(struct replay *r)
{
    const struct dlq_request *q = r->q;
    char path[OX_DISK_PATH_MAX];
    struct ox_diag diag;
    if (q->key != NULL && q->tenant == NULL) {
        ox_complain("--key speaks for one tenant: name it with --tenant, so that nothing goes under its name "
                    "that is not "
                    "its own");
        return false;
    }
    r->derive = q->key == NULL;
    if (q->url != NULL) {
        snprintf(r->url, sizeof(r->url), "%s%s", strstr(q->url, "://") != NULL ? "" : "http://", q->url);
        if (r->derive)
            ox_complain("--otlp-http needs --key and --tenant: keys of %s are for the server that runs on it",
                        q->data);
        return !r->derive;
    }
    snprintf(path, sizeof(path), "%s/ready.json", q->data);
    json_t *ready = json_load_file(path, 0, NULL);
    const char *address = json_string_value(json_object_get(ready, "otlp_http"));
    snprintf(r->url, sizeof(r->url), "http://%s", address != NULL ? address : "");
    json_decref(ready);
    if (address == NULL) {
        ox_complain("replay needs a running server, and none runs on %s: `observex serve --data %s`, or "
                    "--otlp-http URL with "
                    "--key and --tenant (`dlq list` and `dlq show` need none)",
                    q->data, q->data);
        return false;
    }
    snprintf(path, sizeof(path), "%s/dev.secret", q->data);
    if (r->derive && access(path, R_OK) != 0) {
        ox_complain("%s cannot be read, from which development keys derive: give --key and --tenant", path);
        return false;
    }
    if (r->derive && node_dev_secret(q->data, r->secret, &diag) != OX_OK) {
        ox_complain("%s", diag.text);
        return false;
    }
    return true;
}

/* One replay at a time; the kernel lets go of the lock however this ends. */
static int
lock(const struct dlq_request *q)
{
    char path[OX_DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%s/dlq/replay.lock", q->data);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        ox_complain("%s cannot be opened: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ox_complain("another replay runs on %s: wait until it has ended", q->data);
        close(fd);
        return -1;
    }
    return fd;
}

static void
sum_up(const struct replay *r)
{
    const bool dry = r->q->dry_run;
    if (r->q->json) {
        dlq_end(r->q);
        printf(",\n  \"summary\": {\"%s\": %llu, \"stored\": %llu, \"refused\": %llu, \"failed\": %llu, "
               "\"done_before\": %llu, \"in_doubt\": %llu, \"unusable\": %llu}",
               dry ? "would_send" : "sent", (unsigned long long)r->sent, (unsigned long long)r->stored,
               (unsigned long long)r->refused, (unsigned long long)r->failed,
               (unsigned long long)r->done_before, (unsigned long long)r->in_doubt,
               (unsigned long long)r->unusable);
        return;
    }
    if (dry)
        printf("%llu records would be sent to %s\n", (unsigned long long)r->sent, r->url);
    else
        printf("%llu records sent to %s: %llu stored, %llu refused again, %llu failed\n",
               (unsigned long long)r->sent, r->url, (unsigned long long)r->stored,
               (unsigned long long)r->refused, (unsigned long long)r->failed);
    if (r->refused > 0)
        printf("those refused again are in the dead-letter file as new records; `observex dlq list` shows "
               "why\n");
    if (r->done_before > 0)
        printf("%llu were replayed before and not sent\n", (unsigned long long)r->done_before);
    if (r->in_doubt > 0)
        printf("%llu were on their way when an earlier replay ended and may be stored: look, then --in-doubt "
               "sends them\n",
               (unsigned long long)r->in_doubt);
    if (r->unusable > 0)
        printf("%llu have no request that could be sent\n", (unsigned long long)r->unusable);
}

int
dlq_replay(const struct dlq_request *q)
{
    static struct replay r;
    const struct sigaction action = {.sa_handler = on_signal};
    r = (struct replay){.q = q, .begun_ns = ox_clock_realtime_ns(ox_clock_real())};
    if (!find_server(&r))
        return OX_EXIT_FAILED;
    int lock_fd = q->dry_run ? -1 : lock(q);
    if ((lock_fd < 0 && !q->dry_run) || dlq_open(q, !q->dry_run, &r.walk) != OX_OK) {
        if (lock_fd >= 0)
            close(lock_fd);
        return OX_EXIT_FAILED;
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (q->json)
        dlq_begin(q, "records", "");
    ox_err err = walk_all(&r);
    sum_up(&r);
    for (size_t i = 0; i < GROUP_MAX; i++)
        ox_buf_fini(&r.group[i].request);
    ox_otlp_client_free(r.client);
    dlq_close(&r.walk);
    if (lock_fd >= 0)
        close(lock_fd);
    return err == OX_OK && r.refused == 0 && r.failed == 0 && !stopped ? OX_EXIT_OK : OX_EXIT_FAILED;
}
