/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/core/names.c - the registry of actors by name.
 *
 * Owns:    copies of the names.
 * Threads: any, under names_lock.
 * Bounds:  names_max.
 * Fails:   EXISTS, OVERLOAD, NOMEM, GONE, INVALID.
 */
#include <stdlib.h>
#include <xxhash.h>

#include "runtime/core/internal.h"

#define BUCKETS 4096u /* a power of two; with 65,536 names chains of sixteen */

struct entry {
    struct entry *next;
    ox_pid pid;
    char name[OX_NAME_MAX + 1];
};

static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry **buckets;
static uint32_t names_n, names_max;

static struct entry **
find(const char *name)
{
    struct entry **at = &buckets[XXH64(name, strlen(name), 0) & (BUCKETS - 1)];
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

ox_err
ox__names_init(uint32_t max)
{
    buckets = calloc(BUCKETS, sizeof(struct entry *));
    names_max = max;
    names_n = 0;
    return buckets != NULL ? OX_OK : OX_E_NOMEM;
}

void
ox__names_fini(void)
{
    for (uint32_t i = 0; buckets != NULL && i < BUCKETS; i++) {
        while (buckets[i] != NULL) {
            struct entry *entry = buckets[i];
            buckets[i] = entry->next;
            free(entry);
        }
    }
    free(buckets);
    buckets = NULL;
}

static ox_err
insert(const char *name, ox_pid pid)
{
    struct entry **at = find(name);
    if (*at != NULL && !ox_pid_eq((*at)->pid, pid) && ox_alive((*at)->pid))
        return OX_E_EXISTS;
    if (*at != NULL) {
        (*at)->pid = pid;
        return OX_OK;
    }
    if (names_n >= names_max)
        return OX_E_OVERLOAD;
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return OX_E_NOMEM;
    memcpy(entry->name, name, strlen(name));
    entry->pid = pid;
    *at = entry;
    names_n++;
    return OX_OK;
}

ox_err
ox_register(const char *name, ox_pid pid)
{
    if (name[0] == '\0' || strlen(name) > OX_NAME_MAX)
        return OX_E_INVALID;
    ox__lock(&names_lock);
    ox_err err = ox_alive(pid) ? insert(name, pid) : OX_E_GONE;
    ox__unlock(&names_lock);
    return err;
}

static void
forget(const char *name, const ox_pid *only)
{
    struct entry *entry = NULL;
    ox__lock(&names_lock);
    struct entry **at = find(name);
    if (*at != NULL && (only == NULL || ox_pid_eq((*at)->pid, *only))) {
        entry = *at;
        *at = entry->next;
        names_n--;
    }
    ox__unlock(&names_lock);
    free(entry);
}

void
ox_unregister(const char *name)
{
    forget(name, NULL);
}

void
ox__names_forget(const char *name, ox_pid pid)
{
    forget(name, &pid);
}

ox_pid
ox_whereis(const char *name)
{
    ox__lock(&names_lock);
    struct entry **at = find(name);
    /* A name given by ox_register alone may outlive its actor: then it is worth nothing. */
    ox_pid pid = *at != NULL && ox_alive((*at)->pid) ? (*at)->pid : OX_PID_NONE;
    ox__unlock(&names_lock);
    return pid;
}
