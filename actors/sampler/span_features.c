/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/sampler/span_features.c - see span_features.h.
 *
 * Owns, Threads, Flow: see there.
 *
 * Peers after OpenTelemetry's semantic conventions, new names before old ones: a database by system and namespace, a
 * messaging system by system and destination, anything else by address; peer.service, where somebody took the trouble
 * to set it, before all. https://opentelemetry.io/docs/specs/semconv/registry/attributes/
 */
#include "actors/sampler/span_features.h"

#include <stdio.h>
#include <xxhash.h>

#define STATUS_ERROR 2
#define FLAG_SAMPLED 1u

uint64_t
ox__features_id(const uint8_t id[8])
{
    uint64_t v;
    memcpy(&v, id, sizeof(v));
    return v;
}

/* ---- attributes: one walk, since a span has a dozen and most are none of these ---- */

enum known {
    PEER_SERVICE,
    DB_SYSTEM_NAME,
    DB_SYSTEM,
    DB_NAMESPACE,
    DB_NAME,
    MESSAGING_SYSTEM,
    MESSAGING_DESTINATION,
    MESSAGING_DESTINATION_OLD,
    SERVER_ADDRESS,
    NET_PEER_NAME,
    HTTP_BODY_SIZE,
    HTTP_CONTENT_LENGTH,
    MESSAGE_SIZE,
    KNOWN
};
static const struct ox_str keys[KNOWN] = {
    [PEER_SERVICE] = OX_STR("peer.service"),
    [DB_SYSTEM_NAME] = OX_STR("db.system.name"),
    [DB_SYSTEM] = OX_STR("db.system"),
    [DB_NAMESPACE] = OX_STR("db.namespace"),
    [DB_NAME] = OX_STR("db.name"),
    [MESSAGING_SYSTEM] = OX_STR("messaging.system"),
    [MESSAGING_DESTINATION] = OX_STR("messaging.destination.name"),
    [MESSAGING_DESTINATION_OLD] = OX_STR("messaging.destination"),
    [SERVER_ADDRESS] = OX_STR("server.address"),
    [NET_PEER_NAME] = OX_STR("net.peer.name"),
    [HTTP_BODY_SIZE] = OX_STR("http.request.body.size"),
    [HTTP_CONTENT_LENGTH] = OX_STR("http.request_content_length"),
    [MESSAGE_SIZE] = OX_STR("messaging.message.body.size"),
};

/* First letters of the keys, so that others cost one look. */
static bool
may_be_known(struct ox_str key)
{
    return key.n >= 7 && memchr("pdmsnh", key.p[0], 6) != NULL;
}

static void
walk(const struct ox_batch *batch, const struct ox_span *span, const struct ox_attr *found[KNOWN])
{
    memset(found, 0, KNOWN * sizeof(*found));
    for (uint32_t i = 0; i < span->attrs.count; i++) {
        const struct ox_attr *attr = &batch->attrs[span->attrs.first + i];
        struct ox_str key = ox_attr_key(attr);
        if (!may_be_known(key))
            continue;
        for (int k = 0; k < KNOWN; k++) {
            if (ox_str_eq(key, keys[k])) {
                found[k] = attr;
                break;
            }
        }
    }
}

/* The text of the first of two that is there. */
static struct ox_str
text_of(const struct ox_attr *a, const struct ox_attr *b)
{
    const struct ox_attr *attr = a != NULL ? a : b;
    return attr != NULL && ox_attr_type(attr) == OX_ANY_STRING ? ox_attr_str(attr) : (struct ox_str){NULL, 0};
}

static uint32_t
bytes_of(const struct ox_attr *const found[KNOWN])
{
    const struct ox_attr *attr = found[HTTP_BODY_SIZE];
    attr = attr != NULL ? attr : found[HTTP_CONTENT_LENGTH];
    attr = attr != NULL ? attr : found[MESSAGE_SIZE];
    if (attr == NULL || ox_attr_type(attr) != OX_ANY_INT)
        return 0;
    int64_t v = ox_attr_value(attr).i;
    return v < 0 ? 0 : v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

static uint16_t
joined(struct ox__services *names, struct ox_str system, struct ox_str part)
{
    char text[OX__SERVICE_BYTES_MAX + 1];
    if (part.n == 0)
        return ox__services_get(names, system);
    int n = snprintf(text, sizeof(text), "%.*s/%.*s", (int)(system.n < 100 ? system.n : 100), system.p,
                     (int)(part.n < 150 ? part.n : 150), part.p);
    return ox__services_get(names, (struct ox_str){text, (size_t)n});
}

static void
find_peer(struct ox__services *names, const struct ox_attr *const found[KNOWN], struct ox__span_features *out)
{
    struct ox_str name = text_of(found[PEER_SERVICE], NULL);
    struct ox_str db = text_of(found[DB_SYSTEM_NAME], found[DB_SYSTEM]);
    struct ox_str messaging = text_of(found[MESSAGING_SYSTEM], NULL);
    struct ox_str address = text_of(found[SERVER_ADDRESS], found[NET_PEER_NAME]);
    out->peer_kind = db.n > 0                      ? OX__PEER_DATABASE
                     : messaging.n > 0             ? OX__PEER_MESSAGING
                     : name.n > 0 || address.n > 0 ? OX__PEER_EXTERNAL
                                                   : OX__PEER_NONE;
    if (name.n > 0)
        out->peer = ox__services_get(names, name);
    else if (db.n > 0)
        out->peer = joined(names, db, text_of(found[DB_NAMESPACE], found[DB_NAME]));
    else if (messaging.n > 0)
        out->peer =
            joined(names, messaging, text_of(found[MESSAGING_DESTINATION], found[MESSAGING_DESTINATION_OLD]));
    else
        out->peer = ox__services_get(names, address);
}

void
ox__features_of(struct ox__services *names, const struct ox_batch *batch, const struct ox_span *span,
                struct ox__span_features *out)
{
    const struct ox_attr *found[KNOWN];
    struct ox_str service = batch->resources[batch->scopes[span->scope].resource].service_name;
    *out = (struct ox__span_features){
        .span_id = ox__features_id(span->span_id),
        .parent_id = ox__features_id(span->parent_span_id),
        .start_ns = span->start_ns,
        .duration_ns = span->end_ns - span->start_ns,
        .wal_low = (uint32_t)batch->wal_seq,
        .wal_high = (uint16_t)(batch->wal_seq >> 32),
        .ordinal = span->ordinal,
        .service = ox__services_get(names, service),
        .kind = span->kind <= OX__KIND_CONSUMER ? span->kind : OX__KIND_UNKNOWN,
        .error = span->status_code == STATUS_ERROR,
        .sampled = (span->flags & FLAG_SAMPLED) != 0,
    };
    OX_ASSERT(batch->wal_seq >> 48 == 0);
    /* Of the service's own name, not its number's: names beyond the bound are not all one operation. */
    out->operation = XXH3_64bits_withSeed(span->name.n > 0 ? span->name.p : "", span->name.n,
                                          XXH3_64bits(service.n > 0 ? service.p : "", service.n));
    walk(batch, span, found);
    out->bytes = bytes_of(found);
    if (span->kind == OX__KIND_CLIENT || span->kind == OX__KIND_PRODUCER)
        find_peer(names, found, out);
}
