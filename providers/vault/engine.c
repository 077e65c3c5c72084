/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - the engines but KV: one row of a table each says which request a name is, and one
 * function what is peculiar in its answer. Most make a new credential at each read: their instances
 * are marked so, and the core asks once for each lease.
 *
 * param.X of the path rules goes along (in a body, or a query where the request is a GET);
 * param.role names the role where the secret is to be called otherwise.
 */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/text.h"
#include "lease.h"
#include "rfc3339.h"

#include <string.h>

enum { ENGINE_QUERY_MAX = 64 << 10, TOTP_PERIOD_S = 30 };

/* What a row's function looks at, and completes. */
struct engine_answer {
    const struct hush_jtree *data;
    struct hush_value *value;
};
typedef enum hush_status engine_finish_fn(struct hush_op *op, const struct engine_answer *answer);

struct engine_row {
    struct vault_engine engine;
    const char *method;
    const char *prefix, *suffix; /* MOUNT/PREFIX/ROLE/SUFFIX, "": none */
    const char *roles;           /* where the roles are listed */
    const char *signs;           /* with this parameter the prefix is "sign"; NULL: none such */
    engine_finish_fn *finish;    /* NULL: nothing peculiar */
};

static const struct engine_row *engine_row(const struct vault *v);

/* -- What is peculiar -------------------------------------------------------------------------- */

/* A role whose password the server changes by itself: the next one is there when ttl is over. */
static enum hush_status finish_static(struct hush_op *op, const struct engine_answer *answer)
{
    struct hush_meta *meta = &answer->value->meta;
    uint64_t ttl_s;
    time_t rotated;

    (void)op; /* cannot fail */
    if (hush_jtree_number(hush_jtree_member(answer->data, "ttl"), &ttl_s) && ttl_s < UINT32_MAX)
        meta->ttl_ms = vault_ms(ttl_s + 1);
    if (hush_rfc3339(hush_jtree_string(hush_jtree_member(answer->data, "last_vault_rotation")),
                     &rotated))
        meta->modified = rotated;
    return HUSH_OK;
}

static enum hush_status finish_pki(struct hush_op *op, const struct engine_answer *answer)
{
    return vault_pki_value(op, answer->data, answer->value);
}

static enum hush_status finish_ssh(struct hush_op *op, const struct engine_answer *answer)
{
    const char *key = hush_jtree_string(hush_jtree_member(answer->data, "signed_key"));
    time_t end;

    (void)op; /* cannot fail */
    if (key != NULL && vault_ssh_end(key, &end))
        answer->value->meta.not_after = end;
    return HUSH_OK;
}

/* OpenBao says when the code ends; Vault does not, and nearly all keys have periods of 30 s. */
static enum hush_status finish_totp(struct hush_op *op, const struct engine_answer *answer)
{
    struct hush_meta *meta = &answer->value->meta;
    const time_t now = hush_wall_s();
    uint64_t end;

    (void)op; /* cannot fail */
    if (!hush_jtree_number(hush_jtree_member(answer->data, "expire_time"), &end))
        end = ((uint64_t)now / TOTP_PERIOD_S + 1) * TOTP_PERIOD_S;
    meta->not_after = (time_t)end;
    meta->ttl_ms = (time_t)end > now ? vault_ms(end - (uint64_t)now) : 1;
    return HUSH_OK;
}

static enum hush_status finish_gcp(struct hush_op *op, const struct engine_answer *answer)
{
    uint64_t end;

    (void)op; /* cannot fail */
    if (hush_jtree_number(hush_jtree_member(answer->data, "expires_at_seconds"), &end))
        answer->value->meta.not_after = (time_t)end;
    return HUSH_OK;
}

/* -- The request ------------------------------------------------------------------------------- */

static const char *param_value(const struct hush_param *params, const char *name)
{
    for (; params != NULL && params->name != NULL; params++)
        if (strcmp(params->name, name) == 0)
            return params->value;
    return NULL;
}

/* param.role is for us. */
static bool param_is_sent(const struct hush_param *param)
{
    return param->value != NULL && strcmp(param->name, "role") != 0;
}

/* A query can turn a read into something else. */
static enum hush_status params_check(struct hush_op *op, const struct hush_param *params)
{
    static const char *const refused[] = {"help", "list", "scan"};

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (param_value(params, refused[i]) != NULL)
            return hush_fail(op, HUSH_CONFIG, "param.%s would not read the secret", refused[i]);
    return HUSH_OK;
}

static void query_put(struct hush_text *query, const char *text)
{
    cleanup_free char *encoded = NULL;
    const size_t size = 3 * strlen(text) + 1;

    encoded = malloc(size);
    if (encoded == NULL || !hush_http_encode(text, false, encoded, size))
        query->failed = true;
    else
        hush_text_puts(query, encoded);
}

static enum hush_status engine_get(struct vault *v, struct hush_op *op, const char *path,
                                   const struct hush_param *params, struct hush_http_answer *out,
                                   uint32_t *generation)
{
    struct hush_text whole;
    char separator = '?';
    enum hush_status status = params_check(op, params);

    if (status != HUSH_OK)
        return status;
    hush_text_init(&whole, VAULT_PATH_SIZE + ENGINE_QUERY_MAX);
    hush_text_puts(&whole, path);
    for (; params != NULL && params->name != NULL; params++) {
        if (!param_is_sent(params))
            continue;
        hush_text_append(&whole, &separator, 1);
        query_put(&whole, params->name);
        hush_text_puts(&whole, "=");
        query_put(&whole, params->value);
        separator = '&';
    }
    const struct vault_request request = {.method = "GET", .path = hush_text_string(&whole)};
    status = whole.failed ? hush_fail(op, HUSH_TOO_LARGE, "param.* are too much for a query")
                          : vault_call(v, op, &request, out, generation);
    hush_text_done(&whole);
    return status;
}

static enum hush_status engine_post(struct vault *v, struct hush_op *op, const char *path,
                                    const struct hush_param *params, struct hush_http_answer *out,
                                    uint32_t *generation)
{
    struct vault_request request = {.method = "POST", .path = path};
    cleanup_free struct hush_jtree_row *rows = NULL;
    char *body = NULL;
    size_t count = 0, used = 0;
    enum hush_status status;

    while (params != NULL && params[count].name != NULL)
        count++;
    rows = calloc(count + 1, sizeof(*rows));
    if (rows == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a request");
    for (size_t i = 0; i < count; i++)
        if (param_is_sent(&params[i]))
            rows[used++] = (struct hush_jtree_row){.name = params[i].name, .text = params[i].value};
    status = hush_jtree_write(op, rows, &body, &request.body_size);
    if (status != HUSH_OK)
        return status;
    request.body = body;
    status = vault_call(v, op, &request, out, generation);
    hush_jtree_text_free(body);
    return status;
}

static enum hush_status engine_ask(struct vault *v, struct hush_op *op, const struct hush_ref *ref,
                                   struct hush_http_answer *out, uint32_t *generation)
{
    const struct engine_row *row = engine_row(v);
    const char *role = param_value(ref->params, "role");
    const bool sign = row->signs != NULL && param_value(ref->params, row->signs) != NULL;
    const char *const parts[] = {v->mount, sign ? "sign" : row->prefix,
                                 role == NULL ? ref->path : role, row->suffix, NULL};
    char path[VAULT_PATH_SIZE];
    enum hush_status status = vault_path(op, parts, path);

    if (status != HUSH_OK)
        return status;
    return (strcmp(row->method, "POST") == 0 ? engine_post : engine_get)(v, op, path, ref->params,
                                                                         out, generation);
}

/* -- fetch and list ---------------------------------------------------------------------------- */

/* When it ends is known: the core may keep it until then. */
static void engine_end(const struct vault *v, struct hush_meta *meta)
{
    if ((engine_row(v)->engine.flags & HUSH_ONE_SECRET_PER_READ) != 0)
        meta->dynamic = meta->ttl_ms != 0 || meta->not_after != 0;
}

static enum hush_status engine_value(struct vault *v, struct hush_op *op,
                                     const struct hush_http_answer *answer, uint32_t generation,
                                     struct hush_value *out)
{
    engine_finish_fn *const finish = engine_row(v)->finish;
    struct hush_value value = {0};
    struct hush_jtree *root = NULL;
    struct engine_answer found = {.value = &value};
    struct vault_lease lease;
    enum hush_status status = vault_data(op, answer, &root, &found.data);

    if (status != HUSH_OK)
        return status;
    status = hush_jtree_value(op, found.data, &value);
    if (status == HUSH_OK && finish != NULL)
        status = finish(op, &found);
    vault_lease_read(root, &lease);
    vault_lease_meta(v, &lease, generation, &value.meta);
    engine_end(v, &value.meta);
    hush_jtree_free(root);
    if (status != HUSH_OK) {
        hush_value_clear(&value);
        return status;
    }
    *out = value;
    return HUSH_OK;
}

static enum hush_status engine_fetch(struct vault *v, struct hush_op *op,
                                     const struct hush_ref *ref, const struct hush_version *if_not,
                                     struct hush_value *out)
{
    struct hush_http_answer answer = {0};
    uint32_t generation = 0;
    enum hush_status status;

    (void)if_not; /* no versions */
    if (ref->path[0] == '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "a secret needs a name");
    if (ref->version.text[0] != '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "the engine %s has no versions",
                         engine_row(v)->engine.name);
    status = engine_ask(v, op, ref, &answer, &generation);
    if (status != HUSH_OK)
        return status;
    status = engine_value(v, op, &answer, generation, out);
    hush_http_answer_clear(&answer);
    return status;
}

static enum hush_status engine_list(struct vault *v, struct hush_op *op, const char *prefix,
                                    hush_emit_fn *emit, void *ctx)
{
    const char *const parts[] = {v->mount, engine_row(v)->roles, NULL};

    if (prefix[0] != '\0')
        return hush_fail(op, HUSH_NOT_FOUND, "roles have no folders: '%s'", prefix);
    return vault_list(v, op, parts, true, emit, ctx);
}

/* What is below any path is listed where that path can. */
static enum hush_status engine_list_read(struct vault *v, struct hush_op *op, const char *prefix,
                                         hush_emit_fn *emit, void *ctx)
{
    const char *const parts[] = {v->mount, prefix, NULL};

    return vault_list(v, op, parts, prefix[0] == '\0', emit, ctx);
}

/* -- The table --------------------------------------------------------------------------------- */

#define ENGINE_MAP (HUSH_IS_MAP | HUSH_WATCH_IS_PARTIAL)
#define ENGINE_NEW (ENGINE_MAP | HUSH_ONE_SECRET_PER_READ)

/* clang-format off */
#define ENGINE(name, flags, method, prefix, suffix, roles, signs, finish) \
    { { name, flags, engine_fetch, engine_list, NULL }, method, prefix, suffix, roles, signs, finish }

static const struct engine_row engine_rows[] = {
    ENGINE("aws",             ENGINE_NEW, "GET",  "creds",        "",      "roles",        NULL, NULL),
    ENGINE("azure",           ENGINE_NEW, "GET",  "creds",        "",      "roles",        NULL, NULL),
    ENGINE("consul",          ENGINE_NEW, "GET",  "creds",        "",      "roles",        NULL, NULL),
    ENGINE("database",        ENGINE_NEW, "GET",  "creds",        "",      "roles",        NULL, NULL),
    ENGINE("database-static", ENGINE_MAP, "GET",  "static-creds", "",      "static-roles", NULL, finish_static),
    ENGINE("gcp",             ENGINE_NEW, "GET",  "roleset",      "token", "rolesets",     NULL, finish_gcp),
    ENGINE("gcp-key",         ENGINE_NEW, "POST", "roleset",      "key",   "rolesets",     NULL, NULL),
    ENGINE("kubernetes",      ENGINE_NEW, "POST", "creds",        "",      "roles",        NULL, NULL),
    ENGINE("nomad",           ENGINE_NEW, "GET",  "creds",        "",      "role",         NULL, NULL),
    ENGINE("pki",             ENGINE_NEW, "POST", "issue",        "",      "roles",        "csr", finish_pki),
    ENGINE("rabbitmq",        ENGINE_NEW, "GET",  "creds",        "",      "roles",        NULL, NULL),
    ENGINE("ssh",             ENGINE_NEW, "POST", "issue",        "",      "roles",        "public_key", finish_ssh),
    ENGINE("totp",            ENGINE_MAP, "GET",  "code",         "",      "keys",         NULL, finish_totp),
    ENGINE("transit",         ENGINE_MAP, "GET",  "keys",         "",      "keys",         NULL, NULL),
    { { "read", ENGINE_NEW, engine_fetch, engine_list_read, NULL }, "GET", "", "", "", NULL, NULL },
};

const char *const vault_engine_names[] = {
    "kv", "aws", "azure", "consul", "database", "database-static", "gcp", "gcp-key", "kubernetes",
    "nomad", "pki", "rabbitmq", "ssh", "totp", "transit", "read", NULL,
};
/* clang-format on */

_Static_assert(sizeof(vault_engine_names) / sizeof(vault_engine_names[0]) ==
                   sizeof(engine_rows) / sizeof(engine_rows[0]) + 2,
               "a name for each row, for kv, and the end");

static const struct engine_row *engine_row(const struct vault *v)
{
    return &engine_rows[v->engine - 1]; /* [0] of the names is kv */
}

const struct vault_engine *vault_engine(const struct vault *v)
{
    return v->engine == 0 ? &vault_engine_kv : &engine_row(v)->engine;
}
