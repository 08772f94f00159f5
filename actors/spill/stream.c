/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/spill/stream.c - the only file that speaks to a NATS server.
 *
 * Owns:    the connection and its JetStream context.
 * Threads: one at a time; nats.c has threads of its own behind its calls.
 * Bounds:  one call at a time, timeout_ms each, publishing job_ms each and together.
 * Fails:   see include/ox/stream.h.
 *
 * One stream per node, `observex-spill-<node id>`, with a subject per tenant, `observex.spill.<node id>.<tenant>`; a
 * tenant's name has no character that means something in a subject. Limits: what is new is refused when it is full (what
 * it holds was acknowledged), no age. A connection that failed is given up and made anew after a rest, so that there is
 * one way into every state: nats.c's own reconnecting would keep publishes in memory that nobody acknowledged.
 */
#include "ox/stream.h"

#include <inttypes.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>

#include "ox/actor.h"
#include "ox/log.h"
#include "ox/metric.h"

#define NAME_MAX_BYTES 64
#define SUBJECT_MAX    160
#define NO_MESSAGE     10037 /* the server's error code of a sequence that it does not hold */

struct ox_stream {
    struct ox_stream_options options;
    char name[NAME_MAX_BYTES];
    char subjects[NAME_MAX_BYTES];
    natsConnection *connection;
    jsCtx *js;
    uint64_t rest_until_ns;
    uint64_t connect_ns; /* what the last connecting took */
    /* the present job */
    uint64_t job_until_ns;
    bool published, overrun;
    uint32_t slow_jobs; /* in a row */
    bool emptied;
    bool told_down;
};

struct ox_stream *
ox_stream_new(const struct ox_stream_options *options)
{
    struct ox_stream *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    s->options = *options;
    s->emptied = !options->empty;
    snprintf(s->name, sizeof(s->name), "observex-spill-%s", options->node_id);
    snprintf(s->subjects, sizeof(s->subjects), "observex.spill.%s.*", options->node_id);
    return s;
}

static void
disconnect(struct ox_stream *s)
{
    jsCtx_Destroy(s->js);
    natsConnection_Destroy(s->connection);
    s->js = NULL;
    s->connection = NULL;
}

void
ox_stream_free(struct ox_stream *s)
{
    if (s == NULL)
        return;
    disconnect(s);
    free(s);
}

static uint64_t
rest_ns(const struct ox_stream *s)
{
    uint64_t ns = s->connect_ns * 10, min = (uint64_t)OX_STREAM_REST_MS * 1000000,
             max = (uint64_t)OX_STREAM_REST_MAX_MS * 1000000;
    return ns < min ? min : ns > max ? max : ns;
}

/* The server is left alone for a while. */
static ox_err
fail(struct ox_stream *s, const char *operation, natsStatus status, jsErrCode code, struct ox_diag *diag)
{
    OX_METRIC_ADD_L(OX_M_spill_stream_failed, 1, ox_str_of(operation));
    ox_metric_set(OX_M_spill_stream_up, 0);
    if (!s->told_down)
        OX_LOG_WARN("spill", "the NATS server does not take entries: backlogs go to the data disk",
                    OX_F_STR("url", s->options.url), OX_F_STR("operation", operation),
                    OX_F_STR("status", natsStatus_GetText(status)), OX_F_U64("code", (uint64_t)code));
    s->told_down = true;
    disconnect(s);
    s->slow_jobs = 0;
    s->rest_until_ns = ox_now_ns() + rest_ns(s);
    return ox_diag_set(diag, OX_E_UNAVAILABLE, "spill.nats_url", -1,
                       "the NATS server at %.80s fails to %s: %s (%d)", s->options.url, operation,
                       natsStatus_GetText(status), (int)code);
}

static bool
is_set(const char *path)
{
    return path != NULL && path[0] != '\0';
}

/* Whom to trust and who we are; the server's name is that of the url. */
static natsStatus
set_tls(natsOptions *options, const struct ox_stream_options *o)
{
    natsStatus status = NATS_OK;
    if (is_set(o->ca_file))
        status = natsOptions_LoadCATrustedCertificates(options, o->ca_file);
    if (status == NATS_OK && is_set(o->cert_file))
        status = natsOptions_LoadCertificatesChain(options, o->cert_file, o->cert_file);
    return status;
}

static natsStatus
connect_to(struct ox_stream *s)
{
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK)
        status = natsOptions_SetURL(options, s->options.url);
    if (status == NATS_OK)
        status = natsOptions_SetTimeout(options, s->options.timeout_ms);
    if (status == NATS_OK)
        status = natsOptions_SetAllowReconnect(options, false);
    if (status == NATS_OK)
        status = natsOptions_SetName(options, s->name);
    if (status == NATS_OK && s->options.credentials[0] != '\0')
        status = natsOptions_SetUserCredentialsFromFiles(options, s->options.credentials, NULL);
    if (status == NATS_OK)
        status = set_tls(options, &s->options);
    if (status == NATS_OK)
        status = natsConnection_Connect(&s->connection, options);
    natsOptions_Destroy(options);
    jsOptions js;
    if (status == NATS_OK)
        status = jsOptions_Init(&js);
    if (status == NATS_OK) {
        js.Wait = s->options.timeout_ms;
        status = natsConnection_JetStream(&s->js, s->connection, &js);
    }
    return status;
}

/* Makes the stream, or gives an old one today's limits. */
static natsStatus
make_stream(struct ox_stream *s, jsErrCode *code)
{
    const char *subjects[] = {s->subjects};
    jsStreamConfig config;
    jsStreamInfo *info = NULL;
    natsStatus status = jsStreamConfig_Init(&config);
    if (status != NATS_OK)
        return status;
    config.Name = s->name;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Discard = js_DiscardNew;
    config.Storage = js_FileStorage;
    config.MaxBytes = (int64_t)s->options.bytes_max;
    config.Replicas = s->options.replicas;
    status = js_GetStreamInfo(&info, s->js, s->name, NULL, code);
    jsStreamInfo_Destroy(info);
    info = NULL;
    if (status == NATS_NOT_FOUND)
        status = js_AddStream(&info, s->js, &config, NULL, code);
    else if (status == NATS_OK)
        status = js_UpdateStream(&info, s->js, &config, NULL, code);
    jsStreamInfo_Destroy(info);
    return status;
}

bool
ox_stream_ready(struct ox_stream *s)
{
    if (s->js != NULL && !natsConnection_IsClosed(s->connection))
        return true;
    if (ox_now_ns() < s->rest_until_ns)
        return false;
    jsErrCode code = 0;
    disconnect(s);
    uint64_t began_ns = ox_now_ns();
    natsStatus status = connect_to(s);
    if (status == NATS_OK)
        status = make_stream(s, &code);
    if (status == NATS_OK && !s->emptied) {
        status = js_PurgeStream(s->js, s->name, NULL, &code);
        s->emptied = status == NATS_OK;
    }
    s->connect_ns = ox_now_ns() - began_ns;
    if (status != NATS_OK) {
        (void)fail(s, "connect", status, code, NULL);
        return false;
    }
    OX_LOG_INFO("spill", "the NATS server takes entries of backlogs", OX_F_STR("url", s->options.url),
                OX_F_STR("stream", s->name));
    ox_metric_set(OX_M_spill_stream_up, 1);
    s->told_down = false;
    return true;
}

void
ox_stream_begin(struct ox_stream *s)
{
    if (s->published && !s->overrun)
        s->slow_jobs = 0;
    s->published = s->overrun = false;
    s->job_until_ns = ox_now_ns() + (uint64_t)s->options.job_ms * 1000000;
}

bool
ox_stream_spent(const struct ox_stream *s)
{
    return ox_now_ns() >= s->job_until_ns;
}

/* All tenants' backlogs wait for the lane that this job has. */
static ox_err
spent(struct ox_stream *s, struct ox_diag *diag)
{
    if (!s->overrun) {
        s->overrun = true;
        s->slow_jobs++;
        OX_METRIC_ADD_L(OX_M_spill_stream_failed, 1, OX_STR("slow"));
    }
    if (s->slow_jobs >= OX_STREAM_SLOW_JOBS)
        return fail(s, "publish", NATS_TIMEOUT, 0, diag);
    return ox_diag_set(diag, OX_E_OVERLOAD, "spill.nats_job_time", -1,
                       "the NATS server at %.80s took all of this job's %u ms", s->options.url,
                       s->options.job_ms);
}

static void
subject_of(const struct ox_stream *s, const struct ox_tenant_id *tenant, char out[SUBJECT_MAX])
{
    snprintf(out, SUBJECT_MAX, "observex.spill.%s.%s", s->options.node_id, tenant->name);
}

static natsStatus
publish(struct ox_stream *s, const char *subject, const char *id, const struct ox_buf *bytes, jsPubAck **ack,
        jsErrCode *code)
{
    jsPubOptions options;
    natsStatus status = jsPubOptions_Init(&options);
    if (status != NATS_OK)
        return status;
    options.MaxWait = s->options.timeout_ms < s->options.job_ms ? s->options.timeout_ms : s->options.job_ms;
    options.MsgId = id;
    options.ExpectStream = s->name;
    return js_Publish(ack, s->js, subject, bytes->data, (int)bytes->len, &options, code);
}

ox_err
ox_stream_publish(struct ox_stream *s, const struct ox_tenant_id *tenant, uint64_t wal_seq,
                  struct ox_str head, struct ox_str payload, uint64_t *seq, struct ox_diag *diag)
{
    char subject[SUBJECT_MAX], id[NAME_MAX_BYTES];
    struct ox_buf bytes;
    jsPubAck *ack = NULL;
    jsErrCode code = 0;
    /* Headers count, too; a kilobyte is ample for ours. */
    if ((int64_t)(head.n + payload.n) + 1024 > natsConnection_GetMaxPayload(s->connection))
        return OX_E_TOO_LARGE;
    if (ox_stream_spent(s))
        return spent(s, diag);
    ox_buf_init(&bytes);
    ox_buf_append_str(&bytes, head);
    ox_buf_append_str(&bytes, payload);
    if (bytes.failed) {
        ox_buf_fini(&bytes);
        return OX_E_NOMEM;
    }
    subject_of(s, tenant, subject);
    snprintf(id, sizeof(id), "%s-%" PRIu64, s->options.node_id, wal_seq);
    natsStatus status = publish(s, subject, id, &bytes, &ack, &code);
    ox_buf_fini(&bytes);
    if (status != NATS_OK)
        return fail(s, "publish", status, code, diag);
    s->published = true;
    *seq = ack->Sequence;
    ox_err err = ack->Duplicate ? OX_E_EXISTS : OX_OK;
    jsPubAck_Destroy(ack);
    return err;
}

ox_err
ox_stream_read(struct ox_stream *s, uint64_t seq, struct ox_buf *out, struct ox_diag *diag)
{
    natsMsg *msg = NULL;
    jsErrCode code = 0;
    natsStatus status = js_GetMsg(&msg, s->js, s->name, seq, NULL, &code);
    if (status == NATS_NOT_FOUND || code == NO_MESSAGE)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "stream", -1,
                           "stream %s does not hold message %llu any more", s->name, (unsigned long long)seq);
    if (status != NATS_OK)
        return fail(s, "read", status, code, diag);
    ox_buf_reset(out);
    ox_buf_append(out, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
    return out->failed ? OX_E_NOMEM : OX_OK;
}

ox_err
ox_stream_purge(struct ox_stream *s, const struct ox_tenant_id *tenant, uint64_t seq)
{
    char subject[SUBJECT_MAX];
    jsOptions options;
    jsErrCode code = 0;
    subject_of(s, tenant, subject);
    natsStatus status = jsOptions_Init(&options);
    if (status == NATS_OK) {
        options.Wait = s->options.timeout_ms;
        options.Stream.Purge.Subject = subject;
        options.Stream.Purge.Sequence = seq != UINT64_MAX ? seq + 1 : 0;
        status = js_PurgeStream(s->js, s->name, &options, &code);
    }
    return status == NATS_OK ? OX_OK : fail(s, "purge", status, code, NULL);
}
