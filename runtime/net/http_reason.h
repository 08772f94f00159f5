/* SPDX-License-Identifier: Apache-2.0
 *
 * runtime/net/http_reason.h - reason phrases of HTTP/1.1 status lines.
 *
 * Owns:    nothing.
 * Threads: any.
 */
#ifndef OX_NET_HTTP_REASON_H
#define OX_NET_HTTP_REASON_H

/* The phrase of RFC 9110 for `status`, or "Status" for one that has none here. */
const char *ox__http_reason(int status);

#endif
