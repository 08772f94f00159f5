/* SPDX-License-Identifier: Apache-2.0
 *
 * cmd/client_tls.c - see client_tls.h.
 *
 * Owns:    see there.
 * Threads: see there.
 * Fails:   INVALID.
 */
#include "cmd/client_tls.h"

#include <curl/curl.h>

#include "cmd/cmd.h"

static struct {
    const char *ca_file, *cert_file, *key_file;
    const char *pinned; /* the server's own certificate */
} tls;

ox_err
ox_client_tls_take(int *argc, char **argv)
{
    const struct ox_flag flags[] = {{"ca-file", &tls.ca_file, NULL},
                                    {"cert-file", &tls.cert_file, NULL},
                                    {"key-file", &tls.key_file, NULL}};
    ox_err err = ox_flags_take(argc, argv, flags, OX_COUNT(flags));
    if (err == OX_OK && (tls.cert_file == NULL) != (tls.key_file == NULL)) {
        ox_complain("--cert-file and --key-file come together");
        err = OX_E_INVALID;
    }
    return err;
}

void
ox_client_tls_pin(const char *path)
{
    tls.pinned = path;
}

void
ox_client_tls_apply(void *curl)
{
    if (tls.ca_file != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, tls.ca_file);
    else if (tls.pinned != NULL) { /* its certificate is the one to trust, so its name says nothing more */
        curl_easy_setopt(curl, CURLOPT_CAINFO, tls.pinned);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (tls.cert_file != NULL) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, tls.cert_file);
        curl_easy_setopt(curl, CURLOPT_SSLKEY, tls.key_file);
    }
}
