/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.c - the KV engine, v1 and v2. Which of the two a mount is, is asked once, at the first use:
 * open() does not talk to the network.
 *
 * HUSH_HAS_UNCHANGED is not promised: the only thing that a request could be asked not to bring is
 * the version's number, and a secret that was removed and made anew begins at 1 again, so an equal
 * number is no proof. The core compares the bytes, which come anyway.
 */
#include "answer.h"
#include "core/cleanup.h"

#include <stdio.h>
#include <string.h>

enum {
    KV_READ_MAX = 8 << 20, /* JSON makes up to six bytes of one */
    KV_LIST_MAX = 32 << 20,
    KV_TRIES = 2,
};

/* -- Which one --------------------------------------------------------------------------------- */

/* HUSH_OK and *out: what it is, or what to take it for. Only what the server said is remembered. */
static enum hush_status kv_ask(struct vault *v, struct hush_op *op, enum vault_kv *out)
{
    char path[VAULT_PATH_SIZE];
    const char *const parts[] = {"sys/internal/ui/mounts", v->mount, NULL};
    struct hush_http_answer answer = {0};
    enum hush_status status = vault_path(op, parts, path);

    if (status != HUSH_OK)
        return status;
    status =
        vault_call(v, op, &(struct vault_request){.method = "GET", .path = path}, &answer, NULL);
    /* No right to anything there, or an old server: the next answer, of the mount itself, says why
     * better than this one. */
    if (status == HUSH_DENIED || status == HUSH_NOT_FOUND || status == HUSH_UNSUPPORTED) {
        *out = VAULT_KV_1;
        return HUSH_OK;
    }
    if (status != HUSH_OK)
        return status;
    status = vault_mount_kv(op, &answer, v->mount, out);
    hush_http_answer_clear(&answer);
    if (status == HUSH_OK)
        atomic_store(&v->kv_found, *out);
    return status;
}

static enum hush_status kv_version(struct vault *v, struct hush_op *op, enum vault_kv *out)
{
    const enum vault_kv found =
        v->kv != VAULT_KV_AUTO ? v->kv : (enum vault_kv)atomic_load(&v->kv_found);

    if (found == VAULT_KV_AUTO)
        return kv_ask(v, op, out);
    *out = found;
    return HUSH_OK;
}

/* -- One request ------------------------------------------------------------------------------- */

/* GET with a query. 404 is an answer, unless the server says that something else is wrong than that
 * nothing is there: no mount, no namespace. */
static enum hush_status kv_get(struct vault *v, struct hush_op *op,
                               const struct vault_request *request, const char *query,
                               struct hush_http_answer *out)
{
    struct vault_request whole = *request;
    cleanup_free char *path = NULL;
    enum hush_status status;

    if (asprintf(&path, "%s%s", request->path, query) < 0) {
        path = NULL;
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a path");
    }
    whole.method = "GET";
    whole.path = path;
    whole.wants_404 = true;
    status = vault_call(v, op, &whole, out, NULL);
    if (status != HUSH_OK || out->code != 404 || strstr(out->body, "\"errors\":[\"") == NULL)
        return status;
    status = vault_status(op, &whole, out);
    hush_http_answer_clear(out);
    return status;
}

/* v1 was asked, v2 answered: it was upgraded, or configured wrongly. HUSH_OK: ask again. */
static enum hush_status kv_is_other(struct vault *v, struct hush_op *op)
{
    if (v->kv == VAULT_KV_1)
        return hush_fail(op, HUSH_CONFIG, "mount '%s' is KV v2: set kv = v2", v->mount);
    atomic_store(&v->kv_found, VAULT_KV_2);
    return HUSH_OK;
}

/* v2 was asked, as configured, and has nothing: v1 never would. That is asked once, and told once
 * it is known; who may not ask goes on with what is configured. */
static enum hush_status kv_is_older(struct vault *v, struct hush_op *op)
{
    enum vault_kv asked;

    if (v->kv != VAULT_KV_2)
        return HUSH_OK;
    if (atomic_load(&v->kv_found) == VAULT_KV_AUTO && kv_ask(v, op, &asked) == HUSH_OK &&
        atomic_load(&v->kv_found) == VAULT_KV_AUTO)
        atomic_store(&v->kv_found, VAULT_KV_2);
    return atomic_load(&v->kv_found) == VAULT_KV_1
               ? hush_fail(op, HUSH_CONFIG, "mount '%s' is KV v1: set kv = v1", v->mount)
               : HUSH_OK;
}

/* -- fetch ------------------------------------------------------------------------------------- */

/* As NAME#VERSION writes it; "" is the newest. False: no version of KV v2. */
static bool kv_query(const struct hush_version *version, char query[40])
{
    uint64_t number;

    query[0] = '\0';
    if (version->text[0] == '\0')
        return true;
    if (version->text[0] == '0' || !hush_parse_u64(version->text, INT32_MAX, &number))
        return false;
    (void)snprintf(query, 40, "?version=%u", (unsigned)number); /* fits */
    return true;
}

static enum hush_status kv_path(struct vault *v, struct hush_op *op, const struct hush_ref *ref,
                                enum vault_kv version, char path[VAULT_PATH_SIZE])
{
    const char *const parts[] = {v->mount, version == VAULT_KV_2 ? "data" : "", ref->path, NULL};

    if (ref->path[0] == '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "a secret needs a name");
    if (version == VAULT_KV_1 && ref->version.text[0] != '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "mount '%s' is KV v1, which has no versions",
                         v->mount);
    return vault_path(op, parts, path);
}

static enum hush_status kv_read(struct vault *v, struct hush_op *op, const struct hush_ref *ref,
                                enum vault_kv version, struct hush_http_answer *out)
{
    char path[VAULT_PATH_SIZE], query[40];
    const enum hush_status status = kv_path(v, op, ref, version, path);

    if (status != HUSH_OK)
        return status;
    if (!kv_query(&ref->version, query))
        return hush_fail(op, HUSH_NOT_FOUND, "'%s' is no version of '%s': they are numbers",
                         ref->version.text, ref->path);
    return kv_get(v, op, &(struct vault_request){.path = path, .answer_max = KV_READ_MAX}, query,
                  out);
}

static enum hush_status kv_fetch(struct vault *v, struct hush_op *op, const struct hush_ref *ref,
                                 const struct hush_version *if_not, struct hush_value *out)
{
    struct hush_http_answer answer = {0};
    enum vault_kv version;
    enum hush_status status;

    (void)if_not; /* see the head of the file */
    for (int left = KV_TRIES; left > 0; left--) {
        status = kv_version(v, op, &version);
        if (status == HUSH_OK)
            status = kv_read(v, op, ref, version, &answer);
        if (status != HUSH_OK)
            return status;
        if (version != VAULT_KV_1 || !vault_kv_is_other(&answer))
            break;
        hush_http_answer_clear(&answer);
        status = kv_is_other(v, op);
        if (status != HUSH_OK)
            return status;
    }
    if (answer.code == 404) {
        status = kv_is_older(v, op);
        if (status == HUSH_OK)
            status = vault_kv_gone(op, &answer, ref->path);
    } else if (version == VAULT_KV_2) {
        status = vault_kv2_value(op, &answer, out);
    } else {
        status = vault_kv1_value(op, &answer, out);
    }
    hush_http_answer_clear(&answer);
    return status;
}

/* -- list and versions ------------------------------------------------------------------------- */

/* The server's words for "nothing there", which may only be empty. */
static bool list_is_nothing(const struct hush_http_answer *answer)
{
    return answer->code == 404 && strstr(answer->body, "\"errors\":[]") != NULL;
}

enum hush_status vault_list(struct vault *v, struct hush_op *op, const char *const parts[],
                            bool top_exists, hush_emit_fn *emit, void *ctx)
{
    char path[VAULT_PATH_SIZE];
    struct vault_request request = {.method = "GET", .path = path, .answer_max = KV_LIST_MAX};
    struct hush_http_answer answer = {0};
    enum hush_status status = vault_path(op, parts, path);

    /* All in one answer: only OpenBao has pages, and those of KV v2 only, and a listing that is
     * put together from pages may have missed what moved between two of them. */
    if (status == HUSH_OK)
        status = kv_get(v, op, &request, "?list=true", &answer);
    if (status != HUSH_OK)
        return status;
    if (answer.code != 404)
        status = vault_keys(op, &answer, emit, ctx);
    else if (!top_exists || !list_is_nothing(&answer))
        status = vault_status(op, &request, &answer);
    hush_http_answer_clear(&answer);
    return status;
}

static enum hush_status kv_list(struct vault *v, struct hush_op *op, const char *prefix,
                                hush_emit_fn *emit, void *ctx)
{
    enum vault_kv version;
    enum hush_status status = kv_version(v, op, &version);

    if (status != HUSH_OK)
        return status;
    const char *const parts[] = {v->mount, version == VAULT_KV_2 ? "metadata" : "", prefix, NULL};
    return vault_list(v, op, parts, prefix[0] == '\0', emit, ctx);
}

static enum hush_status kv_versions(struct vault *v, struct hush_op *op, const char *name,
                                    hush_emit_fn *emit, void *ctx)
{
    const char *const parts[] = {v->mount, "metadata", name, NULL};
    char path[VAULT_PATH_SIZE];
    struct hush_http_answer answer = {0};
    enum vault_kv version;
    enum hush_status status = kv_version(v, op, &version);

    if (status != HUSH_OK)
        return status;
    if (version != VAULT_KV_2)
        return hush_fail(op, HUSH_UNSUPPORTED, "mount '%s' is KV v1, which has no versions",
                         v->mount);
    if (name[0] == '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "a secret needs a name");
    status = vault_path(op, parts, path);
    if (status == HUSH_OK)
        status = kv_get(v, op, &(struct vault_request){.path = path}, "", &answer);
    if (status != HUSH_OK)
        return status;
    status = answer.code == 404 ? vault_kv_gone(op, &answer, name)
                                : vault_kv2_versions(op, &answer, emit, ctx);
    hush_http_answer_clear(&answer);
    return status;
}

const struct vault_engine vault_engine_kv = {
    .name = "kv",
    .flags = HUSH_HAS_VERSIONS | HUSH_IS_MAP | HUSH_WATCH_IS_PARTIAL,
    .fetch = kv_fetch,
    .list = kv_list,
    .versions = kv_versions,
};
