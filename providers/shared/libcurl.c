/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl.c - see libcurl.h. Called by http.c. */
#include "libcurl.h"

#include "core/wipealloc.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

/* 7.88.0: CURLOPT_QUICK_EXIT and CURLOPT_PROTOCOLS_STR do what is wanted of them. */
enum { LIBCURL_OLDEST = 0x075800 };
static const char libcurl_name[] = "libcurl.so.4";

struct hush_curl hush_curl;

static struct {
    pthread_once_t once;
    enum hush_status status;
    const char *fault; /* static, or the loader's */
} libcurl = {.once = PTHREAD_ONCE_INIT};

static void libcurl_fail(enum hush_status status, const char *fault)
{
    libcurl.status = status;
    libcurl.fault = fault != NULL ? fault : "unknown reason";
}

/* Every function of the list. NULL: there; else the name of one that is not. */
static const char *libcurl_find(void *library)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
#define X(function) {"curl_" #function, offsetof(struct hush_curl, function)},
        HUSH_CURL_LIST(X)
#undef X
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *const function = dlsym(library, rows[i].name);

        if (function == NULL)
            return rows[i].name;
        *(void **)(void *)((char *)&hush_curl + rows[i].offset) = function;
    }
    return NULL;
}

/* Never unloaded: its threads that resolve names may outlive every client. */
static void libcurl_load(void)
{
    void *const library = dlopen(libcurl_name, RTLD_NOW | RTLD_NODELETE);

    if (library == NULL) {
        libcurl_fail(HUSH_CONFIG, dlerror());
        return;
    }
    if (libcurl_find(library) != NULL ||
        hush_curl.version_info(CURLVERSION_NOW)->version_num < LIBCURL_OLDEST)
        libcurl_fail(HUSH_CONFIG, "it is older than 7.88");
    else if (hush_curl.global_init_mem(CURL_GLOBAL_DEFAULT, hush_wipe_malloc, hush_wipe_free,
                                       hush_wipe_realloc, hush_wipe_strdup,
                                       hush_wipe_calloc) != CURLE_OK)
        libcurl_fail(HUSH_NO_MEMORY, "it cannot be initialized");
}

enum hush_status hush_curl_load(struct hush_op *op)
{
    (void)pthread_once(&libcurl.once, libcurl_load); /* cannot fail */
    if (libcurl.status == HUSH_OK)
        return HUSH_OK;
    return hush_fail(op, libcurl.status, "%s cannot be used (install libcurl4): %s", libcurl_name,
                     libcurl.fault);
}
