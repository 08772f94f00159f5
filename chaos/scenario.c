/* SPDX-License-Identifier: Apache-2.0
 *
 * chaos/scenario.c - reads a scenario.
 *
 * Owns:    nothing.
 * Threads: one.
 * Bounds:  LINE_MAX bytes a line.
 * Fails:   a sentence on stderr with file and line.
 */
#include "chaos/scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_BYTES 512

const struct chaos_fault_text chaos_fault_texts[CHAOS_FAULT__COUNT] = {
#define OX_FAULT(id, name, hits, needs, does, promise) {name, hits, needs, does, promise},
#include "ox/tbl/faults.h"
#undef OX_FAULT
};

static bool
set_about(struct chaos_scenario *s, const char *text)
{
    snprintf(s->about, sizeof(s->about), "%s", text);
    return true;
}

static bool
one_number(const char *text, uint32_t min, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || v < min || v > max)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool
set_strike(struct chaos_scenario *s, const char *text)
{
    return sscanf(text, "%u %u", &s->strike_min_ms, &s->strike_max_ms) == 2 &&
           s->strike_min_ms <= s->strike_max_ms;
}

static bool
add_fault(struct chaos_scenario *s, const char *text)
{
    char name[64];
    uint32_t weight = 1;
    if (sscanf(text, "%63s %u", name, &weight) < 1 || s->n_faults == CHAOS_FAULTS_MAX || weight == 0)
        return false;
    for (int i = 0; i < CHAOS_FAULT__COUNT; i++) {
        if (strcmp(chaos_fault_texts[i].name, name) != 0)
            continue;
        s->faults[s->n_faults].fault = (enum chaos_fault)i;
        s->faults[s->n_faults++].weight = weight;
        s->weights += weight;
        return true;
    }
    return false;
}

static bool
add_config(struct chaos_scenario *s, const char *text)
{
    if (s->n_config == CHAOS_CONFIG_MAX)
        return false;
    char(*c)[96] = s->config[s->n_config++];
    return sscanf(text, "%95s %95s", c[0], c[1]) == 2;
}

static bool
set_proxy(struct chaos_scenario *s, const char *text)
{
    static const char *const names[] = {"none", "client", "storage"};
    for (size_t i = 0; i < OX_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            s->proxy = (enum chaos_proxied)i;
            return true;
        }
    }
    return false;
}

static bool
one_of(const char *text, const char *no, const char *yes, bool *out)
{
    *out = strcmp(text, yes) == 0;
    return *out || strcmp(text, no) == 0;
}

static bool
take_choice(struct chaos_scenario *s, const char *word, const char *rest)
{
    const struct {
        const char *word, *no, *yes;
        bool *to;
    } choices[] = {
        {"retry", "no", "yes", &s->retry},
        {"refusals", "none", "some", &s->refusals_allowed},
        {"shim", "no", "yes", &s->shim},
        {"faults", "none", "armed", &s->takes_faults},
        {"leaks", "allowed", "none", &s->no_leaks},
        {"names", "ordered", "strict", &s->names_strict},
        {"survivors", "none", "some", &s->survivors},
        {"control", "file", "postgres", &s->postgres},
    };
    for (size_t i = 0; i < OX_COUNT(choices); i++) {
        if (strcmp(word, choices[i].word) == 0)
            return one_of(rest, choices[i].no, choices[i].yes, choices[i].to);
    }
    return false;
}

/* False for an unknown word as for a bad value. */
static bool
take(struct chaos_scenario *s, const char *word, const char *rest)
{
    const struct {
        const char *word;
        uint32_t min, max, *to;
    } numbers[] = {
        {"tenants", 1, CHAOS_TENANTS_MAX, &s->tenants},
        {"records", 1, 10000, &s->records},
        {"pace", 0, 60000, &s->pace_ms},
        {"rounds", 1, 100000, &s->rounds},
        {"after", 0, 600000, &s->after_ms},
        {"down", 1, 3600000, &s->down_ms},
        {"burst", 1, 1000, &s->burst},
        {"full-every", 1, 100000, &s->full_every},
    };
    for (size_t i = 0; i < OX_COUNT(numbers); i++) {
        if (strcmp(word, numbers[i].word) == 0)
            return one_number(rest, numbers[i].min, numbers[i].max, numbers[i].to);
    }
    if (strcmp(word, "about") == 0)
        return set_about(s, rest);
    if (strcmp(word, "strike") == 0)
        return set_strike(s, rest);
    if (strcmp(word, "fault") == 0)
        return add_fault(s, rest);
    if (strcmp(word, "config") == 0)
        return add_config(s, rest);
    if (strcmp(word, "proxy") == 0)
        return set_proxy(s, rest);
    return take_choice(s, word, rest);
}

static bool
read_lines(struct chaos_scenario *s, FILE *f, const char *path)
{
    char line[LINE_BYTES];
    for (int number = 1; fgets(line, sizeof(line), f) != NULL; number++) {
        char *p = line + strspn(line, " \t");
        p[strcspn(p, "\n")] = '\0';
        if (*p == '\0' || *p == '#')
            continue;
        size_t n = strcspn(p, " \t");
        char *rest = p + n + strspn(p + n, " \t");
        p[n] = '\0';
        if (!take(s, p, rest)) {
            fprintf(stderr, "chaos: %s:%d: `%s %s`: chaos/scenario.h says which words and values there are\n",
                    path, number, p, rest);
            return false;
        }
    }
    return true;
}

/* Each fault finds what it works with. */
static bool
has_needs(const struct chaos_scenario *s, const char *path)
{
    for (uint32_t i = 0; i < s->n_faults; i++) {
        const struct chaos_fault_text *t = &chaos_fault_texts[s->faults[i].fault];
        bool ok = t->needs[0] == '\0' || (strcmp(t->needs, "shim") == 0 && s->shim) ||
                  (strcmp(t->needs, "faults") == 0 && s->takes_faults) ||
                  (strcmp(t->needs, "control postgres") == 0 && s->postgres) ||
                  (strcmp(t->needs, "proxy client") == 0 && s->proxy == CHAOS_PROXY_CLIENT) ||
                  (strcmp(t->needs, "proxy storage") == 0 && s->proxy == CHAOS_PROXY_STORAGE);
        if (!ok) {
            fprintf(stderr, "chaos: %s: the fault %s needs the line `%s%s`\n", path, t->name, t->needs,
                    strcmp(t->needs, "shim") == 0     ? " yes"
                    : strcmp(t->needs, "faults") == 0 ? " armed"
                                                      : "");
            return false;
        }
    }
    return true;
}

bool
chaos_scenario_read(struct chaos_scenario *s, const char *dir, const char *name)
{
    char path[512];
    memset(s, 0, sizeof(*s));
    s->tenants = 2;
    s->records = 10;
    s->pace_ms = 5;
    s->rounds = 10;
    s->strike_max_ms = 800;
    s->after_ms = 150;
    s->down_ms = 1000;
    s->burst = 1;
    s->full_every = 25;
    s->refusals_allowed = true;
    snprintf(s->name, sizeof(s->name), "%s", name);
    snprintf(path, sizeof(path), "%s/%s.scn", dir, name);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "chaos: %s: %s; the scenarios are the names in %s\n", path, strerror(errno), dir);
        return false;
    }
    bool ok = read_lines(s, f, path);
    fclose(f);
    if (ok && !has_needs(s, path))
        return false;
    if (ok && s->n_faults == 0)
        fprintf(stderr, "chaos: %s names no fault (`chaos --list-faults` shows them)\n", path);
    return ok && s->n_faults > 0;
}
