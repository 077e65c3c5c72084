/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_make.c - `hushfs store init` and `rekey`; see cmd_store.h.
 */
#include "cmd_store.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define OWNER_DEFAULT "hushfs" /* as of [mount] */

enum { OWNER_ROOM = 16 << 10 };

/* Whom a new store is for: the user that the mount's worker runs as, if there is one. */
static int find_owner(const struct hush_store_run *run, struct sealed_create *how)
{
    const char *name = run->args->owner;
    const bool must = name != NULL || run->config != NULL;
    struct passwd user, *found = NULL;
    char room[OWNER_ROOM];

    how->owner = (uid_t)-1;
    how->group = (gid_t)-1;
    if (name == NULL && geteuid() != 0)
        return HUSH_CMD_DONE;
    if (name == NULL)
        name = run->config == NULL ? OWNER_DEFAULT : run->config->mount.user;
    if (getpwnam_r(name, &user, room, sizeof(room), &found) != 0 || found == NULL)
        return must ? hush_cmd_fail(HUSH_CMD_USAGE, "store init: there is no user '%s'", name)
                    : HUSH_CMD_DONE;
    how->owner = user.pw_uid;
    how->group = user.pw_gid;
    return HUSH_CMD_DONE;
}

int hush_store_init(struct hush_store_run *run)
{
    const struct sealed_source *source = &run->source;
    struct sealed_create how = {.keep = run->keep == 0 ? SEALED_KEEP_DEFAULT : run->keep,
                                .use_key = run->args->existing_key};
    int status = find_owner(run, &how);
    enum hush_status made;

    if (status != HUSH_CMD_DONE)
        return status;
    if (how.use_key && source->passphrase_file != NULL)
        return hush_cmd_fail(HUSH_CMD_USAGE,
                             "store init: --existing-key is not for a store with a passphrase, "
                             "which makes its own key");
    if (source->store[0] != '/')
        return hush_cmd_fail(HUSH_CMD_USAGE, "store init: --store '%s' must be an absolute path",
                             source->store);
    hush_op_init(&run->op, run->arena, 0);
    made = hush_sealed_create(&run->op, source, &how);
    if (made != HUSH_OK)
        return hush_store_fail(run, made, "store init");
    if (source->passphrase_file != NULL)
        (void)printf(
            "%s: made. Nobody can open it without the passphrase: keep it in another place, "
            "too.\n",
            source->store);
    else
        (void)printf("%s: made, with the key %s. Nobody can open it without that file: keep a copy "
                     "in another place.\n",
                     source->store,
                     source->key_file == NULL ? SEALED_KEY_DEFAULT : source->key_file);
    return HUSH_CMD_DONE;
}

static void rekey_progress(void *ctx, size_t done, size_t all)
{
    (void)ctx; /* there is one bar */
    hush_store_progress("rekey", done, all);
}

int hush_store_rekey(struct hush_store_run *run)
{
    const struct sealed_rekey how = {.passphrase_file = run->args->new_passphrase_file,
                                     .progress = rekey_progress};
    struct sealed_store *store = NULL;
    bool resumed = false;
    enum hush_status done;
    int status;

    if (how.passphrase_file != NULL && run->source.passphrase_file == NULL)
        return hush_cmd_fail(HUSH_CMD_USAGE,
                             "store rekey: a new passphrase is for a store that has one");
    status = hush_store_open(run, &store);
    if (status != HUSH_CMD_DONE)
        return status;
    done = hush_sealed_rekey(store, &run->op, &how, &resumed);
    hush_sealed_store_close(store);
    if (done != HUSH_OK)
        return hush_store_fail(run, done, "store rekey");
    (void)printf("%s: sealed with a new key%s\n", run->source.store,
                 resumed ? " (an interrupted rekey was ended)" : "");
    return HUSH_CMD_DONE;
}
