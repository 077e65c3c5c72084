/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_ls.c - `hushfs store ls`; see cmd_store.h. It reads the index alone, never a value.
 */
#include "cmd_store.h"

#include "core/clock.h"

#include <inttypes.h>
#include <string.h>

enum { JSON_MAX = 256 << 20, AGE_SIZE = 32 };

/* "5m": in the largest unit of which there is at least one. */
static const char *age_text(time_t created, char out[AGE_SIZE])
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    const int64_t age_s = hush_wall_s() > created ? hush_wall_s() - created : 0;
    size_t i = 0;

    while (units[i].seconds > 1 && age_s < units[i].seconds)
        i++;
    (void)snprintf(out, AGE_SIZE, "%" PRId64 "%c", age_s / units[i].seconds, units[i].unit);
    return out;
}

/* A terminal must not be steered by a name; to a pipe it goes as it is. */
static void print_name(const char *name)
{
    for (; *name != '\0'; name++)
        (void)putchar((unsigned char)*name < ' ' || *name == 0x7f ? '?' : *name);
}

static void print_secret(const struct sealed_secret *secret, bool long_list)
{
    const struct sealed_version *version = &secret->versions[0];
    char age[AGE_SIZE];

    if (long_list) {
        (void)printf("%6" PRIu64 " %5zu  ", secret->current, secret->count);
        if (version->removed)
            (void)printf("%9s", "removed");
        else
            (void)printf("%9" PRIu64, version->size);
        (void)printf(" %6s  ", age_text(version->created, age));
    }
    print_name(secret->name);
    (void)putchar('\n');
}

static void json_secret(struct hush_text *json, const struct sealed_secret *secret)
{
    hush_json_open(json, NULL, '{');
    hush_json_string(json, "name", secret->name);
    hush_json_u64(json, "version", secret->current);
    hush_json_bool(json, "removed", secret->versions[0].removed);
    hush_json_open(json, "versions", '[');
    for (size_t i = 0; i < secret->count; i++) {
        const struct sealed_version *version = &secret->versions[i];
        hush_json_open(json, NULL, '{');
        hush_json_u64(json, "version", version->number);
        hush_json_i64(json, "created", version->created);
        hush_json_bool(json, "removed", version->removed);
        if (!version->removed)
            hush_json_u64(json, "size", version->size);
        hush_json_close(json, '}');
    }
    hush_json_close(json, ']');
    hush_json_close(json, '}');
}

/* Is it to be listed? In the folder, or the secret of that name. */
static bool is_listed(const struct hush_store_args *args, const struct sealed_secret *secret)
{
    const char *folder = args->count == 0 ? "" : args->names[0];
    const size_t size = strlen(folder);

    if (secret->count == 0 || (secret->versions[0].removed && !args->all))
        return false;
    return size == 0 || (strncmp(secret->name, folder, size) == 0 &&
                         (secret->name[size] == '\0' || secret->name[size] == '/'));
}

static int list(const struct hush_store_args *args, const struct sealed_index *index)
{
    struct hush_text json;
    size_t listed = 0;
    bool failed;

    hush_text_init(&json, JSON_MAX);
    hush_json_open(&json, NULL, '[');
    if (args->long_list && !args->as_json)
        (void)puts("version  kept      bytes    age  name");
    for (size_t i = 0; i < index->count; i++) {
        if (!is_listed(args, &index->secrets[i]))
            continue;
        listed++;
        if (args->as_json)
            json_secret(&json, &index->secrets[i]);
        else
            print_secret(&index->secrets[i], args->long_list);
    }
    hush_json_close(&json, ']');
    failed = args->as_json && json.failed;
    if (args->as_json && !failed)
        (void)puts(hush_text_string(&json));
    hush_text_done(&json);
    if (failed)
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    if (listed == 0 && args->count > 0)
        return hush_cmd_fail(HUSH_CMD_NOT_FOUND, "%s: the store has no such folder or secret",
                             args->names[0]);
    return HUSH_CMD_DONE;
}

int hush_store_ls(struct hush_store_run *run)
{
    struct sealed_reader reader;
    struct sealed_index *index = NULL;
    enum hush_status status;
    int listed = HUSH_CMD_DONE;

    hush_op_init(&run->op, run->arena, HUSH_STORE_TIMEOUT_MS);
    hush_sealed_reader_init(&reader, &run->source);
    status = hush_sealed_reader_index(&reader, &run->op, &index);
    if (status == HUSH_OK)
        listed = list(run->args, index);
    hush_sealed_index_unref(index);
    hush_sealed_reader_done(&reader);
    return status == HUSH_OK ? listed : hush_store_fail(run, status, NULL);
}
