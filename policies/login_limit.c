/* SPDX-License-Identifier: Apache-2.0
 *
 * policies/login_limit.c - see include/ox/login_limit.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Bounds:  SETS * WAYS counts.
 * Fails:   see there.
 */
#include "ox/login_limit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "ox/lock.h"
#include "ox/random.h"

#define SETS 2048
#define WAYS 8

enum kind { OF_ADDRESS, OF_PAIR, OF_ACCOUNT };

struct count {
    uint64_t hash; /* 0 = free */
    int64_t at_s;  /* the last failure; of an address: when its window began */
    uint32_t failures;
    bool known; /* of a pair: it was right once */
};

struct ox_login_limit {
    pthread_mutex_t lock;
    uint64_t seed;
    struct count table[SETS * WAYS];
};

struct ox_login_limit *
ox_login_limit_new(void)
{
    struct ox_login_limit *l = calloc(1, sizeof(*l));
    if (l == NULL || ox_random_os(&l->seed, sizeof(l->seed)) != OX_OK) {
        free(l);
        return NULL;
    }
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void
ox_login_limit_free(struct ox_login_limit *l)
{
    if (l == NULL)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l);
}

/* One who has an IPv6 address has a whole /64. */
static void
network_of(const char *peer, char out[64])
{
    uint8_t v6[16];
    if (peer != NULL && inet_pton(AF_INET6, peer, v6) == 1)
        ox_hex_encode(v6, 8, out);
    else
        snprintf(out, 64, "%s", peer != NULL ? peer : "");
}

static uint64_t
hash_of(const struct ox_login_limit *l, enum kind kind, const char *peer, const char *tenant,
        const char *user)
{
    char net[64] = "", text[320];
    if (kind != OF_ACCOUNT)
        network_of(peer, net);
    int n = snprintf(text, sizeof(text), "%d|%s|%s|%s", (int)kind, net, kind != OF_ADDRESS ? tenant : "",
                     kind != OF_ADDRESS ? user : "");
    return XXH3_64bits_withSeed(text, (size_t)(n < (int)sizeof(text) ? n : (int)sizeof(text) - 1), l->seed) |
           1;
}

/* Its place, or that of the one that was noted longest ago; who is known goes last. */
static struct count *
count_of(struct ox_login_limit *l, uint64_t hash)
{
    struct count *set = &l->table[(size_t)(hash >> 32) % SETS * WAYS], *oldest = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
    }
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].hash == 0) {
            oldest = &set[i];
            break;
        }
        if (oldest == NULL || set[i].known < oldest->known ||
            (set[i].known == oldest->known && set[i].at_s < oldest->at_s))
            oldest = &set[i];
    }
    *oldest = (struct count){.hash = hash};
    return oldest;
}

/* Three at a time, since one may displace another: looked at as values, and put back by hash. */
struct counts {
    uint64_t hash[3];
    struct count now[3];
};

static void
read_counts(struct ox_login_limit *l, const char *peer, const char *tenant, const char *user, int64_t now_s,
            struct counts *c)
{
    for (int k = OF_ADDRESS; k <= OF_ACCOUNT; k++) {
        c->hash[k] = hash_of(l, (enum kind)k, peer, tenant, user);
        struct count *at = count_of(l, c->hash[k]);
        int64_t keep_s = k == OF_ADDRESS ? OX_LOGIN_WINDOW_S : OX_LOGIN_FORGET_S;
        if (now_s < at->at_s || now_s - at->at_s >= keep_s) { /* a clock that was put back begins anew */
            at->failures = 0;
            at->at_s = now_s;
        }
        c->now[k] = *at;
    }
}

static void
write_count(struct ox_login_limit *l, const struct counts *c, enum kind k)
{
    *count_of(l, c->hash[k]) = c->now[k];
}

static int64_t
wait_of(uint32_t failures)
{
    if (failures < OX_LOGIN_FREE)
        return 0;
    uint32_t doubled = failures - OX_LOGIN_FREE;
    return doubled < 6 ? (int64_t)1 << doubled : OX_LOGIN_WAIT_MAX_S;
}

/* Seconds for which nobody may try; 0 = now. */
static int64_t
left_s(const struct counts *c, int64_t now_s)
{
    const struct count *address = &c->now[OF_ADDRESS], *pair = &c->now[OF_PAIR],
                       *account = &c->now[OF_ACCOUNT];
    int64_t until = now_s;
    if (address->failures >= OX_LOGIN_ADDRESS_MAX)
        until = address->at_s + OX_LOGIN_WINDOW_S;
    if (pair->at_s + wait_of(pair->failures) > until)
        until = pair->at_s + wait_of(pair->failures);
    if (!pair->known && account->failures >= OX_LOGIN_ACCOUNT_MAX &&
        account->at_s + OX_LOGIN_ACCOUNT_S > until)
        until = account->at_s + OX_LOGIN_ACCOUNT_S;
    return until - now_s;
}

ox_err
ox_login_limit_try(struct ox_login_limit *l, const char *peer, const char *tenant, const char *user,
                   int64_t now_s, struct ox_diag *diag)
{
    struct counts c;
    ox_lock(&l->lock);
    read_counts(l, peer, tenant, user, now_s, &c);
    int64_t wait = left_s(&c, now_s);
    for (int k = OF_ADDRESS; wait <= 0 && k <= OF_ACCOUNT; k++) {
        if (k != OF_ADDRESS || c.now[k].failures == 0)
            c.now[k].at_s = now_s;
        c.now[k].failures++;
        write_count(l, &c, (enum kind)k);
    }
    ox_unlock(&l->lock);
    if (wait <= 0)
        return OX_OK;
    ox_err err = ox_diag_set(diag, OX_E_OVERLOAD, "login", -1, "too many attempts: try again in %lld s",
                             (long long)wait);
    if (diag != NULL)
        diag->retry_ms = (uint32_t)wait * 1000;
    return err;
}

void
ox_login_limit_right(struct ox_login_limit *l, const char *peer, const char *tenant, const char *user,
                     int64_t now_s)
{
    struct counts c;
    ox_lock(&l->lock);
    read_counts(l, peer, tenant, user, now_s, &c);
    if (c.now[OF_ADDRESS].failures > 0)
        c.now[OF_ADDRESS].failures--;
    if (c.now[OF_ACCOUNT].failures > 0)
        c.now[OF_ACCOUNT].failures--;
    c.now[OF_PAIR].failures = 0;
    c.now[OF_PAIR].known = true;
    for (int k = OF_ADDRESS; k <= OF_ACCOUNT; k++)
        write_count(l, &c, (enum kind)k);
    ox_unlock(&l->lock);
}
