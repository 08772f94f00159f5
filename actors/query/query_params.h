/* SPDX-License-Identifier: Apache-2.0
 *
 * actors/query/query_params.h - the parameters of a question: decoded, checked, typed.
 *
 * Owns:    the decoded text, in one allocation.
 * Threads: one at a time.
 * Bounds:  OX__PARAMS_MAX parameters, the header limit of the API port for their bytes.
 * Fails:   INVALID with a sentence that names the parameter, its value and what would be right.
 */
#ifndef OX_QUERY_PARAMS_H
#define OX_QUERY_PARAMS_H

#include "ox/base.h"

#define OX__PARAMS_MAX 64
/* Conditions of one kind (tags, label matchers, values of a list) in one question. */
#define OX__PARAM_LIST_MAX 32

struct ox__param {
    struct ox_str name;
    struct ox_str value;
    bool escaped; /* the value's first byte was percent-encoded: it is meant literally */
    bool used;
    bool extra; /* another value of a parameter that takes one */
};

struct ox__params {
    struct ox__param items[OX__PARAMS_MAX];
    size_t n;
    char *text;
};

/* query: lend, copied. On error nothing is owned. */
OX_MUST_USE ox_err ox__params_parse(struct ox__params *ps, struct ox_str query, struct ox_diag *diag);
void ox__params_fini(struct ox__params *ps);

/* The first parameter called `name`, marked as used, or NULL. An empty value counts as absent; further values are
 * marked as extra, and so are those of other spellings. */
struct ox__param *ox__params_get(struct ox__params *ps, const char *name);
/* The first of several spellings, NULL-terminated list. */
struct ox__param *ox__params_any(struct ox__params *ps, const char *const *names);
/* INVALID for the first parameter that nobody asked for, and for one that came again: which of them was meant?
 * names are the legal ones, for the sentence. */
OX_MUST_USE ox_err ox__params_check_used(const struct ox__params *ps, const char *const *names,
                                         struct ox_diag *diag);
/* Edit distance, for "did you mean": at most 32 bytes of each are compared. */
unsigned ox__params_distance(struct ox_str a, struct ox_str b);

/* Fills diag: parameter `p` is not `right`. Returns INVALID. */
ox_err ox__param_bad(const struct ox__param *p, const char *right, struct ox_diag *diag);

/* An unsigned number in [min,max]; `fallback` when absent. */
OX_MUST_USE ox_err ox__params_u64(struct ox__params *ps, const char *name, uint64_t min, uint64_t max,
                                  uint64_t fallback, uint64_t *out, struct ox_diag *diag);
OX_MUST_USE ox_err ox__params_bool(struct ox__params *ps, const char *name, bool fallback, bool *out,
                                   struct ox_diag *diag);
/* A duration such as 100ms; *set says whether it was there. */
OX_MUST_USE ox_err ox__params_duration(struct ox__params *ps, const char *const *names, bool *set,
                                       uint64_t *ns, struct ox_diag *diag);
/* Hex digits of exactly n bytes, not all zero (W3C trace context); *set says whether it was there. */
OX_MUST_USE ox_err ox__params_id(struct ox__params *ps, const char *name, size_t n, bool *set, uint8_t *id,
                                 struct ox_diag *diag);

/* [start_ns, end_ns) */
struct ox__range {
    uint64_t start_ns;
    uint64_t end_ns;
    bool given; /* the caller named a bound */
};
/*
 * start and end, or time (timerange, since): a length that ends now. Without an end the range reaches one
 * hour into the future, as far as records are accepted, so that a sender's fast clock hides nothing.
 */
OX_MUST_USE ox_err ox__params_range(struct ox__params *ps, uint64_t now_ns, uint64_t default_ns,
                                    struct ox__range *out, struct ox_diag *diag);

/* key:value pairs of the parameters `tags` and `tag`. */
struct ox__tag {
    struct ox_str key;
    struct ox_str value;
};
OX_MUST_USE ox_err ox__params_tags(struct ox__params *ps, struct ox__tag *tags, size_t *n,
                                   struct ox_diag *diag);

enum ox__match { OX__MATCH_EQ, OX__MATCH_NE, OX__MATCH_RE, OX__MATCH_NRE };
/* label.k=v, label.k!=v, label.k=~re, label.k!~re */
struct ox__label {
    struct ox_str key;
    struct ox_str value;
    enum ox__match match;
};
OX_MUST_USE ox_err ox__params_labels(struct ox__params *ps, struct ox__label *labels, size_t *n,
                                     struct ox_diag *diag);

/* Splits `value` at `separator` into at most `max` pieces without blanks around; false when there are more.
 */
bool ox__params_split(struct ox_str value, char separator, struct ox_str *pieces, size_t max, size_t *n);

#endif
