/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_line.c - the words between the heart and its children, and what a child needs to use them.
 *
 * Owns:    nothing.
 * Threads: any; no state.
 * Bounds:  OX_HEART_LINE_MAX per line.
 * Fails:   an unknown line is NONE, so that an older heart survives a newer child.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/heart.h"

static const char *const event_names[] = {
    [OX_HEART_NONE] = "",         [OX_HEART_READY] = "ready", [OX_HEART_STOPPING] = "stopping",
    [OX_HEART_ENGINE] = "engine", [OX_HEART_STOP] = "stop",   [OX_HEART_RELOAD] = "reload",
    [OX_HEART_MEND] = "mend",
};

static enum ox_heart_event
event_of(const char *name)
{
    for (size_t i = 1; name != NULL && i < OX_COUNT(event_names); i++) {
        if (strcmp(name, event_names[i]) == 0)
            return (enum ox_heart_event)i;
    }
    return OX_HEART_NONE;
}

struct ox_heart_line
ox_heart_line_parse(struct ox_str line)
{
    struct ox_heart_line out = {OX_HEART_NONE, 0, 0};
    json_t *object = json_loadb(line.p != NULL ? line.p : "", line.n, 0, NULL);
    if (object == NULL)
        return out;
    out.event = event_of(json_string_value(json_object_get(object, "event")));
    out.pid = (pid_t)json_integer_value(json_object_get(object, "pid"));
    out.num = (uint64_t)json_integer_value(json_object_get(object, "num"));
    json_decref(object);
    return out;
}

size_t
ox_heart_line_print(struct ox_heart_line line, char out[OX_HEART_LINE_MAX])
{
    const char *name = event_names[line.event];
    if (line.event == OX_HEART_ENGINE || line.event == OX_HEART_MEND)
        return (size_t)snprintf(out, OX_HEART_LINE_MAX, "{\"event\":\"%s\",\"pid\":%d}\n", name,
                                (int)line.pid);
    if (line.event == OX_HEART_RELOAD)
        return (size_t)snprintf(out, OX_HEART_LINE_MAX, "{\"event\":\"%s\",\"num\":%llu}\n", name,
                                (unsigned long long)line.num);
    return (size_t)snprintf(out, OX_HEART_LINE_MAX, "{\"event\":\"%s\"}\n", name);
}

static bool
fd_of(const char *flag, const char *text, int *out)
{
    char *end = NULL;
    if (text == NULL)
        return true;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || errno != 0 || v < 0 || v > INT32_MAX) {
        ox_complain("--%s takes the number of an open file descriptor, not \"%s\"", flag, text);
        return false;
    }
    *out = (int)v;
    return true;
}

ox_err
ox_child_args_take(int *argc, char **argv, struct ox_child_args *out)
{
    *out = (struct ox_child_args){-1, -1, -1, -1, -1, -1, NULL, {{0}, OX_START_FIRST}};
    int *const fds[] = {&out->fd_control,   &out->fd_lock, &out->fd_otlp_grpc,
                        &out->fd_otlp_http, &out->fd_api,  &out->fd_debug};
    const char *texts[OX_COUNT(fds)] = {NULL}, *starts = NULL;
    const struct ox_flag flags[] = {
        {"fd-control", &texts[0], NULL},   {"fd-lock", &texts[1], NULL}, {"fd-otlp-grpc", &texts[2], NULL},
        {"fd-otlp-http", &texts[3], NULL}, {"fd-api", &texts[4], NULL},  {"fd-debug", &texts[5], NULL},
        {"socket", &out->socket, NULL},    {"starts", &starts, NULL},
    };
    ox_err err = ox_flags_take(argc, argv, flags, OX_COUNT(flags));
    for (size_t i = 0; err == OX_OK && i < OX_COUNT(fds); i++) {
        if (!fd_of(flags[i].name, texts[i], fds[i]))
            err = OX_E_INVALID;
    }
    if (err == OX_OK && starts != NULL && !ox_starts_parse(starts, &out->starts)) {
        fprintf(stderr, "observex: --starts %.40s is not what the heart writes\n", starts);
        err = OX_E_INVALID;
    }
    return err;
}

bool
ox_child_say(int fd_control, enum ox_heart_event event)
{
    return ox_child_say_line(fd_control, (struct ox_heart_line){event, 0, 0});
}

bool
ox_child_say_line(int fd_control, struct ox_heart_line line)
{
    char text[OX_HEART_LINE_MAX];
    size_t n = ox_heart_line_print(line, text);
    if (fd_control < 0)
        return true;
    for (size_t at = 0; at < n;) {
        ssize_t wrote = write(fd_control, text + at, n - at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        at += (size_t)wrote;
    }
    return true;
}
