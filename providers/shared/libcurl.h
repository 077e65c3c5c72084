/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl.h - libcurl, loaded by the first HTTP client of a process. It brings some thirty
 * libraries and 4 MiB of resident memory, which a mount without a network does not need. The one
 * file that includes curl.h.
 */
#ifndef HUSH_LIBCURL_H
#define HUSH_LIBCURL_H

#include "core/op.h"

#define CURL_DISABLE_TYPECHECK /* its macros would hide the members below */
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

/* What we call of it. */
/* clang-format off */
#define HUSH_CURL_LIST(X)                                                                     \
    X(global_init_mem) X(version_info) X(getdate) X(slist_append) X(slist_free_all)           \
    X(easy_init) X(easy_cleanup) X(easy_reset) X(easy_setopt) X(easy_getinfo)                 \
    X(easy_strerror)                                                                          \
    X(multi_init) X(multi_cleanup) X(multi_setopt) X(multi_add_handle)                        \
    X(multi_remove_handle) X(multi_perform) X(multi_poll) X(multi_info_read) X(multi_strerror) \
    X(multi_wakeup)
/* clang-format on */

/* Its functions, by their names without curl_. */
struct hush_curl {
#define X(name) __typeof__(curl_##name) *name;
    HUSH_CURL_LIST(X)
#undef X
};

/* Filled in by hush_curl_load(), never changed afterwards. */
extern struct hush_curl hush_curl;

/*
 * Load it, with a heap that wipes; again is harmless. HUSH_CONFIG: it is not installed or too old;
 * HUSH_NO_MEMORY: it cannot be initialized. Any thread.
 */
__attribute__((warn_unused_result)) enum hush_status hush_curl_load(struct hush_op *op);

#endif
