/* SPDX-License-Identifier: Apache-2.0
 *
 * Goal:    a key is asked for once and then known; what is revoked, expired or of a disabled tenant is not; unknown keys
 *          cost nothing and displace nothing; an outage stops no known key and lets no other in.
 * Method:  the store in a file behind one that counts its calls, fails on request, and lets a test act between a read and
 *          its answer; a clock that stands still.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ox/api_key.h"
#include "ox/key_cache.h"
#include "ox/metric.h"

#define START_S     1700000000
#define UNKNOWN_MAX 20
#define STALE_MAX_S 7200

/* ---- a store in between ---- */

struct between {
    struct ox_control_store base;
    struct ox_control_store *real;
    bool down;
    bool keys_down;          /* changes can be read, keys cannot */
    bool damaged;            /* the same, and for good */
    bool lose;               /* the next look at the changes missed too many */
    bool busy;               /* all of it, for a moment */
    bool deaf;               /* changes can be read, but not waited for */
    void (*at_wait)(void);   /* when the watch begins to wait; once */
    unsigned asked;          /* key_by_digest */
    unsigned asked_again;    /* keys, by keys_same */
    bool silent;             /* no change is told */
    unsigned written;        /* keys_used */
    uint64_t write_ns;       /* what each takes */
    void (*meanwhile)(void); /* after key_by_digest has read and before it answers; once */
};
static struct between between;
static struct ox_control_store *st; /* the real one */
static struct ox_keystore *cache;
static struct ox_clock_virtual clk;
static struct ox_diag diag;
static char dir[64];

static ox_err
by_digest(struct ox_control_store *self, const uint8_t digest[OX_KEY_DIGEST_BYTES],
          struct ox_control_key *out, enum ox_tenant_state *state, struct ox_diag *d)
{
    between.asked++;
    if (between.down || between.keys_down)
        return OX_E_UNAVAILABLE;
    if (between.damaged)
        return OX_E_CORRUPT;
    if (between.busy)
        return OX_E_OVERLOAD;
    ox_err err = st->key_by_digest(st, digest, out, state, d);
    void (*meanwhile)(void) = between.meanwhile;
    between.meanwhile = NULL;
    if (meanwhile != NULL)
        meanwhile();
    return err;
}

static ox_err
get_tenant(struct ox_control_store *self, const struct ox_tenant_id *id, struct ox_control_tenant *out,
           struct ox_diag *d)
{
    if (between.damaged)
        return OX_E_CORRUPT;
    return between.down ? OX_E_UNAVAILABLE : st->tenant_get(st, id, out, d);
}

static ox_err
list_changes(struct ox_control_store *self, uint64_t *cursor, struct ox_control_change *out, size_t *n,
             bool *lost, struct ox_diag *d)
{
    if (between.down)
        return OX_E_UNAVAILABLE;
    ox_err err = st->changes(st, cursor, out, n, lost, d);
    *n = between.silent ? 0 : *n;
    *lost = *lost || between.lose;
    between.lose = false;
    return err;
}

static ox_err
wait_none(struct ox_control_store *self, uint32_t timeout_ms, struct ox_diag *d)
{
    void (*at_wait)(void) = between.at_wait;
    between.at_wait = NULL;
    if (at_wait != NULL)
        at_wait();
    return between.down || between.deaf ? OX_E_UNAVAILABLE : OX_OK;
}

static ox_err
same_keys(struct ox_control_store *self, const struct ox_control_seen *seen, size_t n, bool *same,
          struct ox_diag *d)
{
    between.asked_again += (unsigned)n;
    return between.down || between.busy ? OX_E_UNAVAILABLE : st->keys_same(st, seen, n, same, d);
}

static ox_err
used(struct ox_control_store *self, const struct ox_control_use *uses, size_t n, struct ox_diag *d)
{
    between.written++;
    ox_clock_virtual_advance(&clk, between.write_ns);
    return between.down ? OX_E_UNAVAILABLE : st->keys_used(st, uses, n, d);
}

static void
close_both(struct ox_control_store *self)
{
    st->close(st);
}

/* ---- fixture ---- */

static void
open_cache(uint32_t keys_max, bool dev)
{
    struct ox_key_cache_options o = {
        .store = &between.base,
        .dev = dev ? ox_keystore_dev_new(OX_STR("0123456789abcdef"), (struct ox_str){0}) : NULL,
        .clock = &clk.clock,
        .keys_max = keys_max,
        .unknown_max = UNKNOWN_MAX,
        .stale_max_ms = STALE_MAX_S * 1000};
    cache = ox_key_cache_new(&o);
    cr_assert_not_null(cache);
}

static void
prepare(void)
{
    char path[96];
    snprintf(dir, sizeof(dir), "/tmp/ox-key-cache-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/control.db", dir);
    cr_assert_eq(ox_control_open_sqlite(path, &st, &diag), OX_OK, "%s", diag.text);
    between.base = (struct ox_control_store){.kind = "between",
                                             .key_by_digest = by_digest,
                                             .tenant_get = get_tenant,
                                             .changes = list_changes,
                                             .wait = wait_none,
                                             .keys_same = same_keys,
                                             .keys_used = used,
                                             .close = close_both};
    ox_clock_virtual_init(&clk, 1000000000, (uint64_t)START_S * 1000000000);
}

static void
clean(void)
{
    char command[96];
    if (cache != NULL)
        cache->free(cache);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(key_cache, .init = prepare, .fini = clean);

static void
add_tenant(const char *name)
{
    struct ox_control_tenant t = {.state = OX_TENANT_ACTIVE};
    snprintf(t.id.name, sizeof(t.id.name), "%s", name);
    cr_assert_eq(st->tenant_create(st, NULL, &t, &diag), OX_OK);
}

/* A key in the store; its text. */
static const char *
add_key(const char *tenant, struct ox_control_key *key)
{
    static char texts[64][OX_API_KEY_LEN + 1];
    static unsigned n;
    char *text = texts[n++ % 64];
    cr_assert_eq(ox_api_key_generate(text, key), OX_OK);
    snprintf(key->tenant.name, sizeof(key->tenant.name), "%s", tenant);
    if (key->role == OX_ROLE_NONE)
        key->role = OX_ROLE_EDITOR;
    cr_assert_eq(st->key_create(st, NULL, key, &diag), OX_OK, "%s", diag.text);
    return text;
}

static const char *
stranger(void)
{
    static char text[OX_API_KEY_LEN + 1];
    struct ox_control_key key;
    cr_assert_eq(ox_api_key_generate(text, &key), OX_OK);
    return text;
}

static ox_err
identify_from(const char *peer, const char *text, struct ox_identity *who)
{
    struct ox_credential cred = {.key = ox_str_of(text), .peer = peer};
    return cache->identify(cache, &cred, who, &diag);
}

static ox_err
look_up_from(const char *peer, const char *text, struct ox_identity *who)
{
    struct ox_credential cred = {.key = ox_str_of(text), .peer = peer};
    return cache->look_up(cache, &cred, who, &diag);
}

static ox_err
identify(const char *text)
{
    struct ox_identity who;
    return identify_from("192.0.2.1", text, &who);
}

static ox_err
look_up(const char *text)
{
    struct ox_identity who;
    return look_up_from("192.0.2.1", text, &who);
}

static void
watch(void)
{
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_OK, "%s", diag.text);
}

static void
pass(uint64_t seconds)
{
    ox_clock_virtual_advance(&clk, seconds * 1000000000);
}

static double
lookups(const char *result)
{
    struct ox_str value = ox_str_of(result);
    return ox_metric_value(OX_M_control_lookups, &value);
}

/* ---- tests ---- */

Test(key_cache, a_key_is_asked_for_once)
{
    struct ox_control_key key = {.scopes = OX_SCOPE_INGEST_LOGS | OX_SCOPE_QUERY, .role = OX_ROLE_VIEWER};
    struct ox_identity who;
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    open_cache(1000, false);
    cr_assert_eq(identify(text), OX_E_AGAIN);
    cr_assert_eq(between.asked, 0, "identify asks nobody");
    cr_assert_eq(look_up(text), OX_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(identify_from("198.51.100.7", text, &who), OX_OK);
    cr_assert_eq(look_up(text), OX_OK);
    cr_assert_eq(between.asked, 1);
    cr_assert_str_eq(who.tenant.name, "acme");
    cr_assert_str_eq(who.key_id, key.id);
    cr_assert_eq(who.scopes, key.scopes);
    cr_assert_eq(who.role, OX_ROLE_VIEWER);
    cr_assert_eq(lookups("known"), 1);
    cr_assert_eq(ox_metric_value(OX_M_control_keys, NULL), 1);
}

Test(key_cache, what_is_no_key_is_refused_without_asking)
{
    char text[OX_API_KEY_LEN + 1];
    open_cache(1000, false);
    snprintf(text, sizeof(text), "%s", stranger());
    text[30] = text[30] == 'a' ? 'b' : 'a'; /* mistyped */
    cr_assert_eq(identify(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify("password"), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify("ox_dev_acme_00000000000000000000000000000000"), OX_E_UNAUTHENTICATED,
                 "development keys are not for production");
    cr_assert_eq(identify(""), OX_E_UNAUTHENTICATED);
    cr_assert_not_null(strstr(diag.text, "an API key is required"));
    cr_assert_eq(between.asked, 0);
}

Test(key_cache, an_unknown_key_is_asked_for_once_and_then_known_to_be_none)
{
    const char *text = stranger();
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(between.asked, 1);
    cr_assert_eq(lookups("unknown"), 1);
    pass(OX_KEY_UNKNOWN_S + 1);
    cr_assert_eq(identify(text), OX_E_AGAIN, "for a while");
}

static struct ox_control_key newcomer;

static void
create_and_take(void)
{
    cr_assert_eq(st->key_create(st, NULL, &newcomer, &diag), OX_OK, "%s", diag.text);
    watch();
}

/* It would be refused for ten seconds though it is good. */
Test(key_cache, a_key_made_between_reading_and_noting_is_not_taken_for_unknown)
{
    char text[OX_API_KEY_LEN + 1];
    add_tenant("acme");
    open_cache(1000, false);
    cr_assert_eq(ox_api_key_generate(text, &newcomer), OX_OK);
    snprintf(newcomer.tenant.name, sizeof(newcomer.tenant.name), "acme");
    newcomer.role = OX_ROLE_EDITOR;
    between.meanwhile = create_and_take;
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED, "there was none when the store was asked");
    cr_assert_eq(look_up(text), OX_OK);
}

Test(key_cache, who_shows_too_many_unknown_keys_is_not_asked_for_any_more)
{
    struct ox_control_key key = {0};
    struct ox_identity who;
    add_tenant("acme");
    const char *good = add_key("acme", &key), *late = add_key("acme", &(struct ox_control_key){0});
    open_cache(64, false);
    cr_assert_eq(look_up_from("2001:db8:1:2::5", good, &who), OX_OK);
    for (int i = 0; i < 500; i++) {
        char peer[48];
        snprintf(peer, sizeof(peer), "2001:db8:1:2::%x", i); /* a /64 is one address */
        ox_err err = look_up_from(peer, stranger(), &who);
        cr_assert_eq(err, i < UNKNOWN_MAX ? OX_E_UNAUTHENTICATED : OX_E_OVERLOAD, "%d", i);
    }
    cr_assert_eq(between.asked, UNKNOWN_MAX + 1);
    cr_assert_geq(lookups("limited"), 400);
    cr_assert_eq(identify_from("2001:db8:1:2::9", good, &who), OX_OK, "a known key passes from there, too");
    cr_assert_eq(identify_from("2001:db8:1:2::9", late, &who), OX_E_OVERLOAD);
    cr_assert_eq(look_up_from("2001:db8:1:3::9", late, &who), OX_OK, "and an unknown one from elsewhere");
    pass(OX_KEY_UNKNOWN_S + 1);
    cr_assert_eq(identify_from("2001:db8:1:2::9", stranger(), &who), OX_E_AGAIN);
}

/* Who has many addresses has as many windows: there is one over all of them. */
Test(key_cache, a_flood_from_everywhere_asks_the_store_so_often_and_no_more)
{
    struct ox_control_key known = {0}, late = {0};
    struct ox_identity who;
    add_tenant("acme");
    const char *good = add_key("acme", &known), *other = add_key("acme", &late);
    open_cache(64, false);
    cr_assert_eq(look_up(good), OX_OK);
    for (int i = 0; i < 20000; i++) {
        char peer[48];
        snprintf(peer, sizeof(peer), "10.%d.%d.%d", i >> 12, i >> 6 & 63, i & 63);
        (void)!look_up_from(peer, stranger(), &who);
    }
    cr_assert_leq(between.asked, 1 + UNKNOWN_MAX * 10 + 1024);
    cr_assert_geq(between.asked, UNKNOWN_MAX * 10);
    cr_assert_eq(identify(good), OX_OK, "known keys pass");
    unsigned before = between.asked;
    pass(OX_KEY_UNKNOWN_S);
    cr_assert_eq(look_up(other), OX_OK, "it is over when the window is");
    cr_assert_eq(between.asked, before + 1);
}

Test(key_cache, unknown_keys_displace_no_known_one)
{
    struct ox_control_key keys[40] = {0};
    const char *texts[40];
    struct ox_identity who;
    add_tenant("acme");
    open_cache(4096, false);
    for (size_t i = 0; i < 40; i++) {
        texts[i] = add_key("acme", &keys[i]);
        cr_assert_eq(look_up(texts[i]), OX_OK);
    }
    for (int i = 0; i < 20000; i++) {
        char peer[48];
        snprintf(peer, sizeof(peer), "10.%d.%d.%d", i >> 12, i >> 6 & 63, i & 63);
        (void)!look_up_from(peer, stranger(), &who);
    }
    unsigned asked = between.asked;
    for (size_t i = 0; i < 40; i++)
        cr_assert_eq(identify(texts[i]), OX_OK);
    cr_assert_eq(between.asked, asked);
}

Test(key_cache, the_table_is_bounded_and_keeps_what_is_used)
{
    struct ox_key_cache_status status;
    struct ox_control_key key = {0};
    char busy[OX_API_KEY_LEN + 1];
    add_tenant("acme");
    open_cache(128, false);
    snprintf(busy, sizeof(busy), "%s", add_key("acme", &key));
    cr_assert_eq(look_up(busy), OX_OK);
    for (int i = 0; i < 1000; i++) {
        struct ox_control_key other = {0};
        pass(1);
        cr_assert_eq(identify(busy), OX_OK, "key %d displaces what was used just now", i);
        cr_assert_eq(look_up(add_key("acme", &other)), OX_OK);
    }
    ox_key_cache_status(cache, &status);
    cr_assert_leq(status.keys, 256);
    cr_assert_geq(status.keys, 100);
}

Test(key_cache, a_revoked_key_is_unknown_once_the_change_is_taken)
{
    struct ox_control_key key = {0}, other = {0};
    add_tenant("acme");
    const char *text = add_key("acme", &key), *stays = add_key("acme", &other);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    cr_assert_eq(look_up(stays), OX_OK);
    cr_assert_eq(st->key_revoke(st, NULL, &key.tenant, key.id, START_S, &key, &diag), OX_OK);
    cr_assert_eq(identify(text), OX_OK, "not heard of yet");
    watch();
    cr_assert_eq(ox_metric_value(OX_M_control_changes, NULL), 1);
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(stays), OX_OK);
}

static struct ox_control_key victim;

static void
revoke_and_take(void)
{
    struct ox_control_key out;
    cr_assert_eq(st->key_revoke(st, NULL, &victim.tenant, victim.id, START_S, &out, &diag), OX_OK);
    watch();
}

Test(key_cache, a_revocation_between_reading_and_keeping_is_not_missed)
{
    add_tenant("acme");
    const char *text = add_key("acme", &victim);
    open_cache(1000, false);
    between.meanwhile = revoke_and_take;
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED, "what was read is old, and is read again");
    cr_assert_eq(between.asked, 2);
    cr_assert_eq(identify(text), OX_E_UNAUTHENTICATED);
}

Test(key_cache, a_disabled_tenant_has_no_keys_and_an_enabled_one_has_its_own_again)
{
    struct ox_control_key a = {0}, b = {0};
    struct ox_control_tenant t;
    add_tenant("acme");
    add_tenant("other");
    const char *text = add_key("acme", &a), *others = add_key("other", &b);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    cr_assert_eq(look_up(others), OX_OK);
    cr_assert_eq(st->tenant_set(st, NULL, &a.tenant, OX_TENANT_DISABLED, START_S, &t, &diag), OX_OK);
    watch();
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(others), OX_OK);
    cr_assert_eq(st->tenant_set(st, NULL, &a.tenant, OX_TENANT_ACTIVE, START_S, &t, &diag), OX_OK);
    watch();
    cr_assert_eq(look_up(text), OX_OK, "that it was unknown is forgotten with the change");
}

Test(key_cache, a_key_ends_when_it_expires)
{
    struct ox_control_key key = {.expires_s = START_S + 60};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    pass(59);
    cr_assert_eq(identify(text), OX_OK);
    pass(1);
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(text), OX_E_UNAUTHENTICATED);
}

Test(key_cache, a_rotated_key_goes_on_until_the_overlap_ends)
{
    struct ox_control_key old = {0}, fresh = {.role = OX_ROLE_EDITOR};
    char text[OX_API_KEY_LEN + 1];
    add_tenant("acme");
    const char *before = add_key("acme", &old);
    open_cache(1000, false);
    cr_assert_eq(look_up(before), OX_OK);
    cr_assert_eq(ox_api_key_generate(text, &fresh), OX_OK);
    fresh.tenant = old.tenant;
    snprintf(fresh.rotated_from, sizeof(fresh.rotated_from), "%s", old.id);
    cr_assert_eq(st->key_rotate(st, NULL, &fresh, START_S, START_S + 60, &diag), OX_OK, "%s", diag.text);
    watch();
    cr_assert_eq(identify(before), OX_OK);
    cr_assert_eq(look_up(text), OX_OK);
    pass(60);
    cr_assert_eq(look_up(before), OX_E_UNAUTHENTICATED);
    cr_assert_eq(identify(text), OX_OK);
}

Test(key_cache, while_the_store_is_away_known_keys_go_on_and_no_other_gets_in)
{
    struct ox_control_key a = {0}, b = {0};
    struct ox_key_cache_status status;
    add_tenant("acme");
    const char *known = add_key("acme", &a), *late = add_key("acme", &b);
    open_cache(1000, false);
    cr_assert_eq(look_up(known), OX_OK);
    between.down = true;
    cr_assert_eq(identify(late), OX_E_AGAIN, "nobody has noticed yet");
    cr_assert_eq(look_up(late), OX_E_UNAVAILABLE);
    cr_assert_eq(lookups("failed"), 1);
    unsigned asked = between.asked;
    cr_assert_eq(identify(late), OX_E_UNAVAILABLE, "and now all know it at once");
    cr_assert_eq(look_up(stranger()), OX_E_UNAVAILABLE);
    cr_assert_eq(between.asked, asked);
    pass(3600);
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_E_UNAVAILABLE);
    cr_assert_eq(identify(known), OX_OK);
    ox_key_cache_status(cache, &status);
    cr_assert_not(status.up);
    cr_assert_eq(status.stale_ms, 3600000);
    cr_assert_eq(ox_metric_value(OX_M_control_stale, NULL), 3600);
    cr_assert_eq(ox_metric_value(OX_M_control_up, NULL), 0);

    /* Revoked by another node, whose store is not away. */
    cr_assert_eq(st->key_revoke(st, NULL, &a.tenant, a.id, START_S, &a, &diag), OX_OK);
    between.down = false;
    watch();
    cr_assert_eq(look_up(known), OX_E_UNAUTHENTICATED, "what was missed is taken");
    cr_assert_eq(look_up(late), OX_OK);
    ox_key_cache_status(cache, &status);
    cr_assert(status.up);
    cr_assert_eq(status.stale_ms, 0);
    cr_assert_eq(ox_metric_value(OX_M_control_up, NULL), 1);
}

Test(key_cache, a_change_whose_key_cannot_be_read_is_taken_later)
{
    struct ox_control_key key = {0};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    cr_assert_eq(st->key_revoke(st, NULL, &key.tenant, key.id, START_S, &key, &diag), OX_OK);
    between.keys_down = true;
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_E_UNAVAILABLE);
    between.keys_down = false;
    watch();
    cr_assert_eq(look_up(text), OX_E_UNAUTHENTICATED);
}

/* One damaged row must not hold back every revocation behind it. */
Test(key_cache, a_change_that_can_never_be_read_forgets_its_key_and_no_other)
{
    struct ox_control_key a = {0}, b = {0};
    add_tenant("acme");
    const char *damaged = add_key("acme", &a), *other = add_key("acme", &b);
    open_cache(1000, false);
    cr_assert_eq(look_up(damaged), OX_OK);
    cr_assert_eq(look_up(other), OX_OK);
    cr_assert_eq(st->key_revoke(st, NULL, &a.tenant, a.id, START_S, &a, &diag), OX_OK);
    between.damaged = true;
    watch();
    cr_assert_eq(identify(damaged), OX_E_AGAIN, "not known");
    cr_assert_eq(look_up(damaged), OX_E_UNAVAILABLE, "and nobody can tell");
    cr_assert_eq(identify(other), OX_OK);
    between.damaged = false;
    cr_assert_eq(st->key_revoke(st, NULL, &b.tenant, b.id, START_S, &b, &diag), OX_OK);
    watch();
    cr_assert_eq(look_up(other), OX_E_UNAUTHENTICATED, "the changes behind it are taken");
}

Test(key_cache, a_store_that_is_busy_is_not_away)
{
    struct ox_control_key a = {0}, b = {0};
    add_tenant("acme");
    const char *known = add_key("acme", &a), *other = add_key("acme", &b);
    open_cache(1000, false);
    cr_assert_eq(look_up(known), OX_OK);
    cr_assert_eq(st->key_revoke(st, NULL, &a.tenant, a.id, START_S, &a, &diag), OX_OK);
    between.busy = true;
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_E_OVERLOAD);
    cr_assert_eq(look_up(other), OX_E_UNAVAILABLE);
    cr_assert_eq(identify(other), OX_E_AGAIN, "it is asked again at once");
    between.busy = false;
    watch();
    cr_assert_eq(look_up(known), OX_E_UNAUTHENTICATED, "what could not be read is taken later");
    cr_assert_eq(look_up(other), OX_OK);
}

Test(key_cache, a_tenant_that_cannot_be_read_is_forgotten)
{
    struct ox_control_key a = {0}, b = {0};
    struct ox_control_tenant t;
    add_tenant("acme");
    add_tenant("other");
    const char *theirs = add_key("acme", &a), *other = add_key("other", &b);
    open_cache(1000, false);
    cr_assert_eq(look_up(theirs), OX_OK);
    cr_assert_eq(look_up(other), OX_OK);
    cr_assert_eq(st->tenant_set(st, NULL, &a.tenant, OX_TENANT_DISABLED, START_S, &t, &diag), OX_OK);
    between.damaged = true;
    watch();
    cr_assert_eq(identify(theirs), OX_E_AGAIN);
    cr_assert_eq(identify(other), OX_OK);
}

Test(key_cache, known_keys_do_not_go_on_for_ever_without_news)
{
    struct ox_control_key key = {0};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    between.down = true;
    pass(STALE_MAX_S);
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_E_UNAVAILABLE);
    cr_assert_eq(identify(text), OX_OK, "not longer than that yet");
    pass(1);
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_E_UNAVAILABLE);
    cr_assert_eq(identify(text), OX_E_UNAVAILABLE);
    between.down = false;
    watch();
    cr_assert_eq(look_up(text), OX_OK, "it was good all the time");
}

Test(key_cache, a_store_that_is_away_at_the_start_lets_nobody_in_until_it_is_there)
{
    struct ox_control_key key = {0};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    between.down = true;
    open_cache(1000, false);
    cr_assert_eq(identify(text), OX_E_UNAVAILABLE);
    between.down = false;
    cr_assert_eq(identify(text), OX_E_UNAVAILABLE, "where the changes stand is not known yet");
    watch();
    cr_assert_eq(look_up(text), OX_OK);
}

Test(key_cache, who_missed_too_much_asks_for_every_key_again)
{
    struct ox_control_key key = {0};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    between.lose = true;
    watch();
    cr_assert_eq(identify(text), OX_E_AGAIN);
    cr_assert_eq(look_up(text), OX_OK);
}

/* As after a failover that lost a revocation's notice, or a database that was restored. */
Test(key_cache, a_change_that_nobody_told_of_is_found_by_asking_again)
{
    struct ox_control_key keys[600] = {0};
    static char texts[600][OX_API_KEY_LEN + 1];
    add_tenant("acme");
    open_cache(4096, false);
    for (size_t i = 0; i < OX_COUNT(keys); i++) {
        memcpy(texts[i], add_key("acme", &keys[i]), sizeof(texts[i]));
        cr_assert_eq(look_up(texts[i]), OX_OK);
    }
    between.silent = true;
    cr_assert_eq(st->key_revoke(st, NULL, &keys[7].tenant, keys[7].id, START_S, &keys[7], &diag), OX_OK);
    for (int i = 0; i < 64; i++)
        watch();
    cr_assert_eq(between.asked_again, 0, "not due yet");
    cr_assert_eq(identify(texts[7]), OX_OK);
    pass(OX_KEY_ASK_AGAIN_S);
    for (int i = 0; i < 64; i++)
        watch();
    cr_assert_eq(between.asked_again, OX_COUNT(keys), "each once");
    cr_assert_eq(look_up(texts[7]), OX_E_UNAUTHENTICATED);
    for (size_t i = 0; i < OX_COUNT(keys); i++)
        cr_assert_eq(identify(texts[i]), i == 7 ? OX_E_UNAUTHENTICATED : OX_OK, "%zu", i);
    cr_assert_eq(ox_metric_value(OX_M_control_corrected, NULL), 1);
}

static int64_t
last_used(const char *id)
{
    struct ox_control_key got;
    cr_assert_eq(st->key_get(st, NULL, id, &got, &diag), OX_OK);
    return got.last_used_s;
}

Test(key_cache, the_last_use_is_written_down_once_a_minute)
{
    struct ox_control_key key = {0}, idle = {0};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    (void)add_key("acme", &idle);
    open_cache(1000, false);
    cr_assert_eq(look_up(text), OX_OK);
    cr_assert_eq(ox_key_cache_flush(cache, &diag), OX_OK);
    cr_assert_eq(last_used(key.id), START_S);
    pass(30);
    cr_assert_eq(identify(text), OX_OK);
    cr_assert_eq(ox_key_cache_flush(cache, &diag), OX_OK);
    cr_assert_eq(last_used(key.id), START_S, "not due yet");
    pass(30);
    cr_assert_eq(ox_key_cache_flush(cache, &diag), OX_OK);
    cr_assert_eq(last_used(key.id), START_S + 30, "the last use, not the time of writing");
    cr_assert_eq(last_used(idle.id), 0);
}

static const char *revoked_text;

static void
expect_taken(void)
{
    cr_assert_eq(identify(revoked_text), OX_E_AGAIN);
    revoked_text = NULL;
}

Test(key_cache, changes_are_taken_before_anything_is_waited_for)
{
    struct ox_control_key key = {0};
    add_tenant("acme");
    revoked_text = add_key("acme", &key);
    open_cache(1000, false);
    cr_assert_eq(look_up(revoked_text), OX_OK);
    cr_assert_eq(st->key_revoke(st, NULL, &key.tenant, key.id, START_S, &key, &diag), OX_OK);
    between.at_wait = expect_taken;
    between.deaf = true;
    cr_assert_eq(ox_key_cache_watch(cache, 0, &diag), OX_E_UNAVAILABLE, "it cannot be listened to");
    cr_assert_null(revoked_text);
    struct ox_key_cache_status status;
    ox_key_cache_status(cache, &status);
    cr_assert(status.up, "but it answers");
}

Test(key_cache, writing_down_uses_does_not_hold_up_the_watch)
{
    struct ox_control_key keys[120] = {0}; /* three times what one write takes, and more */
    open_cache(1000, false);
    for (size_t i = 0; i < OX_COUNT(keys); i++) {
        char tenant[8];
        snprintf(tenant, sizeof(tenant), "t%zu", i);
        add_tenant(tenant);
        cr_assert_eq(look_up(add_key(tenant, &keys[i])), OX_OK);
    }
    between.write_ns = 150000000;
    cr_assert_eq(ox_key_cache_flush(cache, &diag), OX_OK);
    cr_assert_eq(between.written, 2, "the second begins within the time there is");
    cr_assert_eq(ox_key_cache_flush(cache, &diag), OX_OK);
    cr_assert_eq(between.written, 3, "and nothing is left out");
    for (size_t i = 0; i < OX_COUNT(keys); i++)
        cr_assert_geq(last_used(keys[i].id), START_S);
}

Test(key_cache, in_development_both_sorts_of_keys_are_taken)
{
    struct ox_control_key key = {0};
    struct ox_identity who;
    struct ox_tenant_id dev = {"team-a"};
    char dev_key[OX_DEV_KEY_MAX];
    struct ox_credential none = {.from_loopback = true, .peer = "127.0.0.1"};
    add_tenant("acme");
    const char *text = add_key("acme", &key);
    open_cache(1000, true);
    ox_keystore_dev_key(OX_STR("0123456789abcdef"), &dev, dev_key);
    cr_assert_eq(identify_from("192.0.2.1", dev_key, &who), OX_OK);
    cr_assert_str_eq(who.tenant.name, "team-a");
    cr_assert_eq(cache->identify(cache, &none, &who, &diag), OX_OK);
    cr_assert_eq(who.role, OX_ROLE_LOCAL);
    cr_assert_eq(look_up(text), OX_OK);
    none.from_loopback = false;
    cr_assert_eq(cache->identify(cache, &none, &who, &diag), OX_E_UNAUTHENTICATED);
}
