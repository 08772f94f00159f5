/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/heart_ready.c - what others are told once traffic is accepted: the ready file and the banner.
 *
 * Owns:    the ready file.
 * Threads: the main thread.
 * Fails:   a ready file that could not be written at the start refuses the start; later it is logged and serving goes
 *          on.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/heart_internal.h"
#include "ox/log.h"

static json_t *
pid_or_null(pid_t pid)
{
    return pid > 0 ? json_integer(pid) : json_null();
}

/* An absolute path is of use to a script that runs elsewhere. */
static json_t *
socket_or_null(const struct ox__heart *h)
{
    char *data = ox_config_embedded(h->config) ? realpath(h->config->data, NULL) : NULL;
    json_t *path = data != NULL ? json_sprintf("%s/engine.sock", data) : json_null();
    free(data);
    return path;
}

/* The certificate that our own command line may trust when it asks by DIR. */
static json_t *
cert_or_null(const struct ox__heart *h)
{
    char *path = h->config->tls_cert_file[0] != '\0' ? realpath(h->config->tls_cert_file, NULL) : NULL;
    json_t *text = path != NULL ? json_string(path) : json_null();
    free(path);
    return text;
}

/* The fields that scripts rely on, in the documented order. */
static char *
ready_json(const struct ox__heart *h)
{
    json_t *o = json_object();
    json_object_set_new(o, "pid", json_integer(getpid()));
    json_object_set_new(o, "node_pid", pid_or_null(h->node.pid));
    json_object_set_new(o, "engine_pid", pid_or_null(h->engine.pid));
    json_object_set_new(o, "otlp_grpc", json_string(h->listeners[OX__LISTEN_OTLP_GRPC].actual));
    json_object_set_new(o, "otlp_http", json_string(h->listeners[OX__LISTEN_OTLP_HTTP].actual));
    json_object_set_new(o, "api", json_string(h->listeners[OX__LISTEN_API].actual));
    json_object_set_new(o, "debug", json_string(h->listeners[OX__LISTEN_DEBUG].actual));
    json_object_set_new(o, "engine_socket", socket_or_null(h));
    json_object_set_new(o, "tls_cert_file", cert_or_null(h));
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    return text;
}

/* For people who just typed `make run`. */
static void
show_banner(const struct ox__heart *h)
{
    const char *http = h->listeners[OX__LISTEN_OTLP_HTTP].actual;
    const char *api = h->listeners[OX__LISTEN_API].actual;
    const char *s = h->config->tls_cert_file[0] != '\0' ? "s" : "";
    printf("\nObserveX is ready.\n\n"
           "  Console and API  http%s://%s\n"
           "  OTLP over gRPC   %s\n"
           "  OTLP over HTTP   http%s://%s\n"
           "  Data             %s\n\n"
           "Try in another terminal:\n"
           "  build/observex status --api http%s://%s\n"
           "  curl -s 'http%s://%s/api/v1/services/stats'\n"
           "  build/observex sql --data %s 'SELECT service_name, count() FROM otel_traces GROUP BY 1'\n\n"
           "Development mode: requests from this machine need no key. Where others reach it, use mode: "
           "production.\n"
           "Ctrl-C stops everything.\n\n",
           s, api, h->listeners[OX__LISTEN_OTLP_GRPC].actual, s, http, h->config->data, s, api, s, api,
           h->config->data);
    fflush(stdout);
}

/* Beside the one asked for, DIR/ready.json lets the command line find a running ObserveX by its directory. */
static void
write_one(const char *path, unsigned mode, struct ox_str text)
{
    struct ox_diag diag;
    ox_diag_clear(&diag);
    if (ox__file_replace(path, mode, text, &diag) != OX_OK)
        OX_LOG_ERROR("heart", "ready file not written", OX_F_STR("path", path), OX_F_DIAG(&diag));
}

static void
own_path(const struct ox__heart *h, char *out, size_t size)
{
    snprintf(out, size, "%s/ready.json", h->config->data);
}

void
ox__ready_write(struct ox__heart *h)
{
    char own[OX_CONFIG_STRING_MAX + 16];
    char *json = ready_json(h);
    if (json == NULL)
        return;
    struct ox_buf text;
    ox_buf_init(&text);
    ox_buf_printf(&text, "%s\n", json);
    free(json);
    own_path(h, own, sizeof(own));
    write_one(own, 0600, ox_buf_str(&text));
    if (h->config->ready_file[0] != '\0')
        write_one(h->config->ready_file, 0644, ox_buf_str(&text));
    ox_buf_fini(&text);
    if (h->options->banner && !h->banner_shown)
        show_banner(h);
    h->banner_shown = true;
}

void
ox__ready_remove(struct ox__heart *h)
{
    char own[OX_CONFIG_STRING_MAX + 16];
    own_path(h, own, sizeof(own));
    (void)unlink(own);
    if (h->config->ready_file[0] != '\0')
        (void)unlink(h->config->ready_file);
}

static ox_err
cannot_write(const char *path, int why, struct ox_diag *diag)
{
    return ox_diag_set(diag, ox_err_from_errno(why), "ready_file", -1,
                       "the ready file %s cannot be written: %s; name another with --ready-file FILE", path,
                       strerror(why));
}

ox_err
ox__ready_begin(struct ox__heart *h, struct ox_diag *diag)
{
    const char *path = h->config->ready_file;
    char probe[OX_CONFIG_STRING_MAX + 48];
    struct stat st;
    ox__ready_remove(h);
    if (path[0] == '\0')
        return OX_OK;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return cannot_write(path, EISDIR, diag);
    snprintf(probe, sizeof(probe), "%s.%d.probe", path, (int)getpid());
    int fd = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return cannot_write(path, errno, diag);
    close(fd);
    (void)unlink(probe);
    return OX_OK;
}
