/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_put.c - `hushfs store put`, `get` and `rm`; see cmd_store.h.
 */
#include "cmd_store.h"

#include "sealed/name.h"

#include <inttypes.h>
#include <string.h>

int hush_store_check_name(const char *name)
{
    const char *fault = hush_sealed_name_fault(name);

    return fault == NULL
               ? HUSH_CMD_DONE
               : hush_cmd_fail(HUSH_CMD_USAGE, "'%s' cannot be a secret's name: %s", name, fault);
}

static int put_value(struct hush_store_run *run, const char *name, const struct hush_secret *value)
{
    struct sealed_store *store = NULL;
    int status = hush_store_open(run, &store);
    enum hush_status done;
    uint64_t number;

    if (status != HUSH_CMD_DONE)
        return status;
    done = hush_sealed_store_stage(store, &run->op, name, hush_secret_bytes(value),
                                   hush_secret_size(value));
    if (done == HUSH_OK)
        done = hush_sealed_store_commit(store, &run->op);
    number =
        done == HUSH_OK ? hush_sealed_index_find(hush_sealed_store_index(store), name)->current : 0;
    hush_sealed_store_close(store);
    if (done != HUSH_OK)
        return hush_store_fail(run, done, name);
    (void)printf("%s#%" PRIu64 "\n", name, number);
    return HUSH_CMD_DONE;
}

int hush_store_put(struct hush_store_run *run)
{
    const char *name = run->args->names[0];
    struct hush_secret *value = NULL;
    int status = hush_store_check_name(name);

    if (status == HUSH_CMD_DONE && run->args->file != NULL && run->args->generate != NULL)
        status = hush_cmd_fail(HUSH_CMD_USAGE, "store put: --file and --generate are too much");
    if (status == HUSH_CMD_DONE) /* before the store is locked: somebody may type it */
        status = hush_store_value(run, &value);
    if (status == HUSH_CMD_DONE)
        status = put_value(run, name, value);
    hush_secret_unref(value);
    return status;
}

int hush_store_get(struct hush_store_run *run)
{
    const char *text = run->args->names[0];
    struct sealed_reader reader;
    struct sealed_index *index = NULL;
    struct sealed_value value = {0};
    char name[HUSH_PATH_MAX + 1];
    uint64_t number = 0;
    enum hush_status status;

    hush_op_init(&run->op, run->arena, HUSH_STORE_TIMEOUT_MS);
    hush_sealed_reader_init(&reader, &run->source);
    status = hush_sealed_reader_index(&reader, &run->op, &index);
    if (status == HUSH_OK && !hush_store_split(index, text, name, &number))
        status = hush_fail(&run->op, HUSH_NOT_FOUND, "the name is too long");
    if (status == HUSH_OK)
        status = hush_sealed_reader_get(&reader, &run->op, name, number, 0, &value);
    hush_sealed_index_unref(index);
    hush_sealed_reader_done(&reader);
    if (status != HUSH_OK)
        return hush_store_fail(run, status, text);
    const int printed = hush_cmd_print_secret(value.secret, run->args->no_newline);
    hush_secret_unref(value.secret);
    return printed;
}

static enum hush_status remove_one(struct hush_store_run *run, struct sealed_store *store,
                                   const char *text)
{
    char name[HUSH_PATH_MAX + 1];
    uint64_t number;
    enum hush_status status;

    if (!hush_store_split(hush_sealed_store_index(store), text, name, &number))
        return hush_fail(&run->op, HUSH_NOT_FOUND, "the name is too long");
    if (number != 0)
        return hush_sealed_store_drop(store, &run->op, name, number);
    if (run->args->purge)
        return hush_sealed_store_purge(store, &run->op, name);
    status = hush_sealed_store_stage_removal(store, &run->op, name);
    return status != HUSH_OK ? status : hush_sealed_store_commit(store, &run->op);
}

int hush_store_rm(struct hush_store_run *run)
{
    const char *text = run->args->names[0];
    struct sealed_store *store = NULL;
    int status = hush_store_open(run, &store);
    enum hush_status done;

    if (status != HUSH_CMD_DONE)
        return status;
    done = remove_one(run, store, text);
    hush_sealed_store_close(store);
    return done == HUSH_OK ? HUSH_CMD_DONE : hush_store_fail(run, done, text);
}
