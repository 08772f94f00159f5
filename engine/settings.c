/* SPDX-License-Identifier: Apache-2.0
 *
 * engine/settings.c - who asks, and the settings that a request runs under.
 *
 * Owns:    the lists of parameters that are no settings and of settings that a tenant's request may change.
 * Threads: any; pure.
 * Fails:   exception codes of ClickHouse with a sentence.
 * Flow:    statement.c -> here -> SET on the request's own session.
 */
#include "engine/engine.h"

#include <stdio.h>

/* Parameters of the HTTP interface itself, or without meaning here. */
static const char *const not_settings[] = {
    "query",
    "database",
    "default_format",
    "query_id",
    "user",
    "password",
    "quota_key",
    "role",
    "stacktrace",
    "wait_end_of_query",
    "buffer_size",
    "log_comment",
    "http_write_exception_in_output_format",
    "enable_http_compression",
    "send_progress_in_http_headers",
    "http_zlib_compression_level",
    "readonly",
};

/* Would change what the reply or the session is: refused, so that nobody believes they work. */
static const char *const unsupported[] = {
    "session_id", "session_timeout", "session_check",   "compress",
    "decompress", "query_cache_tag", "use_query_cache", "dialect",
};

/* What a query compiled from our own languages needs. A trailing * stands for any rest. */
static const char *const tenant_settings[] = {
    "max_*",
    "min_bytes_to_use_*",
    "output_format_*",
    "read_overflow_mode",
    "result_overflow_mode",
    "timeout_overflow_mode",
    "group_by_overflow_mode",
    "distinct_overflow_mode",
    "sort_overflow_mode",
    "join_overflow_mode",
    "join_*",
    "optimize_*",
    "use_skip_indexes*",
    "extremes",
    "session_timezone",
    "date_time_*",
    "query_plan_*",
    "allow_experimental_time_series_*",
    "allow_experimental_ts_to_grid_*",
    "enable_analyzer",
    "short_circuit_function_evaluation",
    "cancel_http_readonly_queries_on_client_close",
    "force_index_by_date",
    "force_primary_key",
    "priority",
    "do_not_merge_across_partitions_select_final",
    "transform_null_in",
    "prefer_localhost_replica",
};

static bool
in_list(struct ox_str name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(list[i]);
        bool prefix = len > 0 && list[i][len - 1] == '*';
        if (prefix && name.n >= len - 1 && memcmp(name.p, list[i], len - 1) == 0)
            return true;
        if (!prefix && ox_str_eq(name, (struct ox_str){list[i], len}))
            return true;
    }
    return false;
}

static bool
setting_name_ok(struct ox_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return name.n > 0 && name.n <= 128 && !(name.p[0] >= '0' && name.p[0] <= '9');
}

bool
ox__secret_equal(struct ox_str given, const char *secret)
{
    size_t n = strlen(secret);
    unsigned char differs = given.n != n;
    for (size_t i = 0; i < given.n; i++)
        differs |= (unsigned char)(given.p[i] ^ secret[i % n]);
    return differs == 0;
}

ox_err
ox__role_of(struct ox_str log_comment, const char *secret, enum ox__role *out)
{
    struct ox_tenant_id tenant;
    *out = OX__ROLE_NOBODY;
    if (log_comment.n == 0)
        return OX_OK;
    if (log_comment.n < 2 || log_comment.p[1] != ':')
        return OX_E_FORBIDDEN;
    struct ox_str rest = {log_comment.p + 2, log_comment.n - 2};
    if (log_comment.p[0] == 's' && ox__secret_equal(rest, secret)) {
        *out = OX__ROLE_SYSTEM;
        return OX_OK;
    }
    if (log_comment.p[0] == 't' && ox_tenant_id_parse(rest, &tenant, NULL) == OX_OK) {
        *out = OX__ROLE_TENANT;
        return OX_OK;
    }
    return OX_E_FORBIDDEN;
}

void
ox__append_literal(struct ox_buf *out, struct ox_str text)
{
    ox_buf_append_cstr(out, "'");
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\'' || text.p[i] == '\\')
            ox_buf_append_cstr(out, "\\");
        ox_buf_append(out, text.p + i, 1);
    }
    ox_buf_append_cstr(out, "'");
}

/* 0 = append it, -1 = leave it out, else the code to refuse with. */
static int
judge(struct ox_str name, enum ox__role role, struct ox_diag *diag)
{
    int shown = name.n > 60 ? 60 : (int)name.n;
    if (in_list(name, not_settings, OX_COUNT(not_settings)) ||
        (name.n > 6 && memcmp(name.p, "param_", 6) == 0))
        return -1;
    if (!setting_name_ok(name)) {
        ox_diag_set(diag, OX_E_INVALID, NULL, -1, "\"%.*s\" is no name of a setting", shown, name.p);
        return OX__CODE_UNKNOWN_SETTING;
    }
    if (in_list(name, unsupported, OX_COUNT(unsupported))) {
        ox_diag_set(diag, OX_E_UNIMPLEMENTED, NULL, -1,
                    "the embedded engine does not support the parameter %.*s", shown, name.p);
        return OX__CODE_NOT_IMPLEMENTED;
    }
    if (role != OX__ROLE_SYSTEM && !in_list(name, tenant_settings, OX_COUNT(tenant_settings))) {
        ox_diag_set(diag, OX_E_FORBIDDEN, NULL, -1, "a tenant's request may not change the setting %.*s",
                    shown, name.p);
        return OX__CODE_CONSTRAINT;
    }
    return 0;
}

bool
ox__settings_read_only(const struct ox__request *request)
{
    struct ox_str wanted = ox__http_param(request, "readonly");
    return wanted.n > 0 && !ox_str_eq(wanted, OX_STR("0"));
}

int
ox__settings_text(const struct ox__request *request, enum ox__role role, uint64_t statement_id,
                  struct ox_buf *out, struct ox_diag *diag)
{
    ox_buf_printf(out,
                  "SET query_cache_tag = 'ox-%llu', result_overflow_mode = 'throw', max_insert_threads = 1, "
                  "use_structure_from_insertion_table_in_table_functions = 1",
                  (unsigned long long)statement_id);
    for (size_t i = 0; i < request->params_n; i++) {
        struct ox_str name = request->params[i].name;
        int verdict = judge(name, role, diag);
        if (verdict > 0)
            return verdict;
        if (verdict < 0)
            continue;
        ox_buf_printf(out, ", %.*s = ", (int)name.n, name.p);
        ox__append_literal(out, request->params[i].value);
    }
    struct ox_str comment = ox__http_param(request, "log_comment");
    if (role != OX__ROLE_NOBODY) {
        ox_buf_append_cstr(out, ", log_comment = ");
        ox__append_literal(out, comment);
    }
    /* Last, because it locks every setting, log_comment first of all; 2 leaves all but itself free. */
    if (role != OX__ROLE_SYSTEM || strcmp(request->method, "GET") == 0)
        ox_buf_append_cstr(out, ", readonly = 1");
    else if (ox__settings_read_only(request))
        ox_buf_append_cstr(out, ", readonly = 2");
    return out->failed ? OX__CODE_MEMORY : 0;
}
