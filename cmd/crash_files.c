/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/crash_files.c - the answers of the API about crashes and quarantine, from the files of a data directory on which
 * nothing runs.
 *
 * Owns:    nothing.
 * Threads: the main thread.
 * Fails:   NOT_FOUND, IO, CORRUPT, with a sentence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd_supervision.h"
#include "ox/clock.h"
#include "ox/crashes.h"
#include "ox/quarantine.h"

static json_t *
crash_object(const struct ox_crash *crash)
{
    struct ox_buf text;
    ox_buf_init(&text);
    ox_crash_json(crash, &text);
    json_t *o = json_loadb((const char *)text.data, text.len, 0, NULL);
    ox_buf_fini(&text);
    if (o == NULL)
        return json_object();
    json_object_set_new(o, "charge_means", json_string(ox_crash_charge_means(crash->charge)));
    return o;
}

ox_err
cmd_crashes_of_files(const char *data, size_t limit, json_t **out, struct ox_diag *diag)
{
    static struct ox_crash crashes[OX_CRASHES_MAX];
    char path[OX_DISK_PATH_MAX];
    uint64_t noted = 0;
    snprintf(path, sizeof(path), "%s/crash", data);
    if (access(path, R_OK) != 0)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "data", -1,
                           "nothing runs on %s, and there is no %s to read: --data names the data directory",
                           data, path);
    struct ox_crashes *c = ox_crashes_open(ox_disk_real(), path);
    if (c == NULL)
        return OX_E_NOMEM;
    size_t n = ox_crashes_list(c, crashes, limit < OX_CRASHES_MAX ? limit : OX_CRASHES_MAX, &noted);
    ox_crashes_close(c);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, crash_object(&crashes[i]));
    *out = json_pack("{s:o, s:I}", "crashes", list, "noted", (json_int_t)noted);
    snprintf(path, sizeof(path), "%s/crash/node.json", data);
    if (access(path, R_OK) == 0)
        fprintf(stderr,
                "observex: %s is of a fault that no start has looked at yet; it is not in this list\n", path);
    return OX_OK;
}

static json_t *
quarantined_object(const struct ox_quarantined *q)
{
    char since[OX_RFC3339_LEN + 1];
    ox_clock_rfc3339(q->since_ns, since);
    json_t *o = json_pack("{s:s, s:I, s:s}", "tenant", q->tenant.name, "crashes", (json_int_t)q->crashes,
                          "since", since);
    if (q->has_last)
        json_object_set_new(o, "last", crash_object(&q->last));
    return o;
}

ox_err
cmd_quarantine_of_files(const char *data, json_t **out, struct ox_diag *diag)
{
    char path[OX_DISK_PATH_MAX];
    static struct ox_quarantined one;
    struct ox_quarantine *q;
    if (access(data, R_OK) != 0)
        return ox_diag_set(diag, OX_E_NOT_FOUND, "data", -1,
                           "nothing runs on %s, and it cannot be read: --data names the data directory",
                           data);
    snprintf(path, sizeof(path), "%s/quarantine.json", data);
    ox_err err = ox_quarantine_open(ox_disk_real(), path, &q, diag);
    if (err != OX_OK)
        return err;
    json_t *list = json_array();
    for (size_t i = 0; ox_quarantine_list(q, i, &one, 1) == 1; i++)
        json_array_append_new(list, quarantined_object(&one));
    ox_quarantine_close(q);
    *out = json_pack("{s:o}", "quarantine", list);
    return OX_OK;
}
