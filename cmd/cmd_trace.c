/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/cmd_trace.c - `observex trace ID`: one trace as a tree with bars.
 *
 *   checkout  POST /checkout              |##################|   120.4ms
 *   └ payment   charge                    |   ############   |    80.1ms  ERROR card declined
 *
 * Owns:    the answer, for one run.
 * Threads: the main thread.
 * Bounds:  the API's spans per trace; INDENT_MAX levels are drawn, deeper ones stand below each other.
 * Fails:   OX_EXIT_FAILED when nothing answers, or it answers an error, whose sentence is shown.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cmd/api_client.h"
#include "cmd/cmd.h"
#include "cmd/text.h"

#define WIDTH_DEFAULT 100
#define WIDTH_MIN     60
#define WIDTH_MAX     240
#define BAR_MIN       12
#define INDENT_MAX    24
#define TIME_WIDTH    9

#define RED    "\x1b[31m"
#define DIM    "\x1b[2m"
#define BOLD   "\x1b[1m"
#define NORMAL "\x1b[0m"

struct view {
    int width; /* of the terminal */
    int label; /* columns for the tree */
    int bar;   /* columns between the two | */
    bool colour;
    int64_t start_ns;
    int64_t duration_ns;
};

static const char *
text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s != NULL ? s : "";
}

static int64_t
number_of(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static int
terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    int width = columns != NULL ? atoi(columns) : 0;
    if (width == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width == 0)
        width = WIDTH_DEFAULT;
    return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
}

static void
view_init(struct view *v, const json_t *trace)
{
    v->width = terminal_width();
    v->colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    v->label = v->width * 45 / 100;
    v->bar = v->width - v->label - TIME_WIDTH - 6;
    if (v->bar < BAR_MIN)
        v->bar = BAR_MIN;
    v->start_ns = number_of(trace, "start_time_unix_nano");
    v->duration_ns = number_of(trace, "duration_ns");
}

static const char *
paint(const struct view *v, const char *colour)
{
    return v->colour ? colour : "";
}

/* Whether a later span at `depth` still hangs below the same parent: decides between a tee and a corner. */
static bool
has_sibling(const json_t *spans, size_t at, int64_t depth)
{
    for (size_t i = at + 1; i < json_array_size(spans); i++) {
        int64_t other = number_of(json_array_get(spans, i), "depth");
        if (other <= depth)
            return other == depth;
    }
    return false;
}

/* Two columns per level: a line where siblings follow further down. open[d] is kept from row to row. */
static void
print_label(const struct view *v, const json_t *spans, size_t at, bool *open)
{
    const json_t *span = json_array_get(spans, at);
    int64_t depth = number_of(span, "depth");
    int64_t drawn = depth < INDENT_MAX ? depth : INDENT_MAX;
    int used = 0;
    for (int64_t d = 1; d < drawn; d++, used += 2)
        fputs(open[d] ? "\xe2\x94\x82 " : "  ", stdout);
    if (drawn > 0) {
        open[drawn] = has_sibling(spans, at, depth);
        fputs(open[drawn] ? "\xe2\x94\x9c " : "\xe2\x94\x94 ", stdout);
        used += 2;
    }
    char text[512];
    snprintf(text, sizeof(text), "%s  %s", text_of(span, "service_name"), text_of(span, "name"));
    cmd_text_print(text, v->label > used ? v->label - used : 8, true);
}

static void
print_bar(const struct view *v, const json_t *span, bool failed)
{
    int64_t from_ns = number_of(span, "start_time_unix_nano") - v->start_ns;
    int64_t length_ns = number_of(span, "duration_ns");
    int64_t whole_ns = v->duration_ns > 0 ? v->duration_ns : 1;
    int from = (int)((double)from_ns / (double)whole_ns * v->bar);
    int length = (int)((double)length_ns / (double)whole_ns * v->bar + 0.5);
    from = from < 0 ? 0 : from >= v->bar ? v->bar - 1 : from;
    length = length < 1 ? 1 : length > v->bar - from ? v->bar - from : length;
    fputs(" |", stdout);
    for (int i = 0; i < from; i++)
        fputc(' ', stdout);
    fputs(failed ? paint(v, RED) : paint(v, BOLD), stdout);
    for (int i = 0; i < length; i++)
        fputc('#', stdout);
    fputs(paint(v, NORMAL), stdout);
    for (int i = from + length; i < v->bar; i++)
        fputc(' ', stdout);
    fputs("| ", stdout);
}

static void
print_marks(const struct view *v, const json_t *span, bool failed)
{
    if (failed) {
        printf("  %sERROR%s ", paint(v, RED), paint(v, NORMAL));
        cmd_text_print(text_of(span, "status_message"), v->width, false);
    }
    if (json_is_true(json_object_get(span, "orphan")))
        printf("  %s(parent missing)%s", paint(v, DIM), paint(v, NORMAL));
    if (json_is_true(json_object_get(span, "cycle")))
        printf("  %s(its parents form a circle)%s", paint(v, DIM), paint(v, NORMAL));
}

static void
print_span(const struct view *v, const json_t *spans, size_t at, bool *open)
{
    const json_t *span = json_array_get(spans, at);
    char duration[32];
    bool failed = strcmp(text_of(span, "status_code"), "ERROR") == 0;
    print_label(v, spans, at, open);
    print_bar(v, span, failed);
    cmd_text_duration(number_of(span, "duration_ns"), duration, sizeof(duration));
    printf("%*s", TIME_WIDTH, duration);
    print_marks(v, span, failed);
    fputc('\n', stdout);
}

static void
print_head(const struct view *v, const json_t *trace)
{
    char duration[32];
    cmd_text_duration(v->duration_ns, duration, sizeof(duration));
    printf("%strace %s%s  %s  %s  %lld spans, %lld errors, %zu services\n", paint(v, BOLD),
           text_of(trace, "trace_id"), paint(v, NORMAL), text_of(trace, "start_time"), duration,
           (long long)number_of(trace, "span_count"), (long long)number_of(trace, "error_count"),
           json_array_size(json_object_get(trace, "services")));
}

static void
print_sampling(const json_t *meta)
{
    const json_t *sampling = json_object_get(meta, "sampling");
    if (json_is_true(json_object_get(meta, "sampled")))
        printf("note: sampled at %.3g %%: the %lld spans that are stored stand for %.0f\n",
               100 * json_number_value(json_object_get(sampling, "rate")),
               (long long)number_of(sampling, "spans_stored"),
               json_number_value(json_object_get(sampling, "spans")));
}

static void
print_list(const json_t *reasons, const char *what)
{
    const json_t *reason;
    size_t i;
    json_array_foreach(reasons, i, reason) printf("note: %s%s\n", what, json_string_value(reason));
}

/* What the answer says about itself must not stay unseen. */
static void
print_notes(const json_t *trace)
{
    const json_t *meta = json_object_get(trace, "meta");
    if (json_is_true(json_object_get(meta, "truncated")))
        printf("note: the trace has more spans than are shown\n");
    print_sampling(meta);
    print_list(json_object_get(trace, "incomplete_reasons"), "incomplete: ");
    if (number_of(trace, "duplicates_removed") > 0)
        printf("note: %lld spans with an id that another span has are left out\n",
               (long long)number_of(trace, "duplicates_removed"));
    print_list(json_object_get(meta, "partial_reasons"), "");
}

static void
print_trace(const json_t *trace)
{
    struct view v;
    bool open[INDENT_MAX + 1] = {false};
    const json_t *spans = json_object_get(trace, "spans");
    view_init(&v, trace);
    print_head(&v, trace);
    for (size_t i = 0; i < json_array_size(spans); i++)
        print_span(&v, spans, i, open);
    print_notes(trace);
}

static int
show(const char *api, const char *data, const char *key, const char *id, const char *limit, bool json)
{
    struct ox_diag diag = {0};
    char base[256], path[160];
    struct ox_buf body;
    json_t *answer = NULL;
    ox_buf_init(&body);
    snprintf(path, sizeof(path), "/api/v1/traces/%s%s%.64s", id, limit != NULL ? "?limit=" : "",
             limit != NULL ? limit : "");
    ox_err err = ox_api_find(api, data, base, sizeof(base), &diag);
    if (err == OX_OK)
        err = cmd_api_json(base, path, key, &body, &answer, &diag);
    if (err != OX_OK) {
        ox_buf_fini(&body);
        return ox_complain("%s", diag.text);
    }
    if (json)
        printf("%.*s\n", (int)body.len, (const char *)body.data);
    else
        print_trace(answer);
    json_decref(answer);
    ox_buf_fini(&body);
    return OX_EXIT_OK;
}

int
ox_cmd_trace(int argc, char **argv)
{
    const char *api = NULL, *data = NULL, *key = NULL, *limit = NULL;
    bool json = false;
    const struct ox_flag flags[] = {{"api", &api, NULL},
                                    {"data", &data, NULL},
                                    {"key", &key, NULL},
                                    {"limit", &limit, NULL},
                                    {"json", NULL, &json}};
    if (ox_flags_take_all(&argc, argv, flags, OX_COUNT(flags), 1) != OX_OK)
        return OX_EXIT_USAGE;
    if (argc < 2)
        return ox_complain_usage("trace", "give the id of a trace, 32 hex digits");
    uint8_t id[16];
    if (ox_hex_decode(ox_str_of(argv[1]), id, sizeof(id)) != OX_OK)
        return ox_complain_usage("trace", "%.64s is not the id of a trace: that is 32 hex digits", argv[1]);
    return show(api, data, key, argv[1], limit, json);
}
