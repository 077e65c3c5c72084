/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_vault.c - any bytes as the answer of a Vault server: the first says which kind, the next its
 * code, the rest is the body. Whatever comes: no crash, a result only on HUSH_OK, a reason
 * otherwise, nothing left in the arena, and no name that could be a path.
 */
#include "core/arena.h"
#include "shared/json.h"
#include "vault/answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_ARENA_SIZE = 8 << 20, FUZZ_INPUT_MAX = 64 << 10 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

static enum hush_status check_entry(void *ctx, const struct hush_entry *entry)
{
    (void)ctx;
    require(entry->name[0] != '\0' && strchr(entry->name, '/') == NULL);
    require(strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0);
    require(strlen(entry->name) <= HUSH_PATH_MAX);
    return HUSH_OK;
}

/* -- One function for each kind of answer ------------------------------------------------------ */

typedef enum hush_status fuzz_fn(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *value);

static enum hush_status fuzz_versions(struct hush_op *op, const struct hush_http_answer *answer,
                                      struct hush_value *value)
{
    (void)value;
    return vault_kv2_versions(op, answer, check_entry, NULL);
}

static enum hush_status fuzz_keys(struct hush_op *op, const struct hush_http_answer *answer,
                                  struct hush_value *value)
{
    (void)value;
    return vault_keys(op, answer, check_entry, NULL);
}

static enum hush_status fuzz_mount(struct hush_op *op, const struct hush_http_answer *answer,
                                   struct hush_value *value)
{
    enum vault_kv kv = VAULT_KV_AUTO;
    const enum hush_status status = vault_mount_kv(op, answer, "a/b", &kv);

    (void)value;
    require((status == HUSH_OK) == (kv != VAULT_KV_AUTO));
    return status;
}

static enum hush_status fuzz_pki(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *value)
{
    struct hush_value made = {0};
    struct hush_jtree *root = NULL;
    const struct hush_jtree *object;
    struct vault_lease lease;
    enum hush_status status = vault_data(op, answer, &root, &object);

    if (status != HUSH_OK)
        return status;
    vault_lease_read(root, &lease);
    require(lease.id != NULL);
    status = hush_jtree_value(op, object, &made);
    if (status == HUSH_OK)
        status = vault_pki_value(op, object, &made);
    hush_jtree_free(root);
    if (status == HUSH_OK)
        *value = made;
    else
        hush_value_clear(&made);
    return status;
}

static enum hush_status fuzz_ssh(struct hush_op *op, const struct hush_http_answer *answer,
                                 struct hush_value *value)
{
    time_t end = -1;

    (void)op;
    (void)value;
    require(vault_ssh_end(answer->body, &end) == (end >= 0));
    return HUSH_OK;
}

static enum hush_status fuzz_status(struct hush_op *op, const struct hush_http_answer *answer,
                                    struct hush_value *value)
{
    const struct vault_request request = {.method = "GET", .path = "secret/data/app?version=3"};
    const enum hush_status status = vault_status(op, &request, answer);

    (void)value;
    require(status != HUSH_OK && status != HUSH_AUTH);
    require(!vault_is_bad_token(answer) || status == HUSH_DENIED);
    require(!vault_kv_is_other(answer) || answer->code == 404);
    require(strstr(op->detail, "version=3") == NULL);
    return status;
}

static enum hush_status fuzz_gone(struct hush_op *op, const struct hush_http_answer *answer,
                                  struct hush_value *value)
{
    const enum hush_status status = vault_kv_gone(op, answer, "app");

    (void)value;
    require(status == HUSH_NOT_FOUND);
    return status;
}

static void fuzz_one(fuzz_fn *fn, struct hush_arena *arena, const struct hush_http_answer *answer)
{
    struct hush_value value = {0};
    struct hush_op op;
    enum hush_status status;

    hush_op_init(&op, arena, 0);
    status = fn(&op, answer, &value);
    require(status == HUSH_OK || op.detail[0] != '\0');
    require(status == HUSH_OK || (value.secret == NULL && value.fields == NULL));
    hush_value_clear(&value);
    require(hush_arena_usage(arena).blocks == 0);
}

/* A name becomes a path of plain bytes, or none. */
static void fuzz_path(const char *name)
{
    const char *const parts[] = {"secret", "data", name, NULL};
    char path[VAULT_PATH_SIZE];
    struct hush_op op;

    hush_op_init(&op, NULL, 0);
    if (vault_path(&op, parts, path) != HUSH_OK)
        return;
    require(strstr(path, "//") == NULL && strstr(path, "/../") == NULL &&
            strstr(path, "/./") == NULL);
    for (const char *c = path; *c != '\0'; c++)
        require(*c > ' ' && *c <= '~' && *c != '?' && *c != '#');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fuzz_fn *const kinds[] = {vault_kv1_value, vault_kv2_value, fuzz_gone,
                                     fuzz_versions,   fuzz_keys,       fuzz_mount,
                                     fuzz_pki,        fuzz_ssh,        fuzz_status};
    static const int codes[] = {301, 307, 400, 403, 404, 405, 412, 429, 473, 500, 501, 503, 599};
    static struct hush_arena *arena;
    struct hush_http_answer answer = {0};
    size_t kind;

    if (arena == NULL) {
        hush_json_init();
        arena = hush_arena_new(FUZZ_ARENA_SIZE);
        require(arena != NULL);
    }
    if (size < 2 || size > FUZZ_INPUT_MAX)
        return 0;
    kind = data[0] % (sizeof(kinds) / sizeof(kinds[0]) + 1);
    answer.code = codes[data[1] % (sizeof(codes) / sizeof(codes[0]))];
    answer.size = size - 2;
    answer.body = malloc(answer.size + 1);
    require(answer.body != NULL);
    memcpy(answer.body, data + 2, answer.size);
    answer.body[answer.size] = '\0';
    if (kind < sizeof(kinds) / sizeof(kinds[0]))
        fuzz_one(kinds[kind], arena, &answer);
    else
        fuzz_path(answer.body);
    free(answer.body);
    return 0;
}
