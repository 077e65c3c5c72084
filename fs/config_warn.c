/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_warn.c - what is no error of a configuration, but hardly meant: called by config_read.c.
 */
#include "config_int.h"

/* By a provider, of one of its options. */
static void tell(void *ctx, const char *option, const char *text)
{
    struct hush_reader *reader = ctx;
    const struct hush_entry_text *entry = hush_section_entry(reader->section, option);

    if (entry != NULL)
        hush_report_add(reader->warnings, reader->section->file, entry->line, "[%s]: %s",
                        reader->section->head, text);
}

void hush_warn_instance(struct hush_reader *reader, struct hush_provider *scratch)
{
    if (reader->warnings != NULL && scratch->ops->advise != NULL)
        scratch->ops->advise(scratch, tell, reader);
}

/* A user who is named must be there: that is an error. But `check`, and `get`, which needs none,
 * may run where nothing will be mounted, and then the default need not be. */
void hush_warn_mount(struct hush_reader *reader)
{
    const char *user = reader->config->mount.user;
    uid_t uid;

    if (reader->warnings != NULL && user != NULL && !hush_check_find_user(user, &uid))
        hush_report_add(reader->warnings, reader->warnings->files[0], 0,
                        "[mount]: there is no user '%s' here, as whom a mount is served: make it, "
                        "or set 'user'",
                        user);
}
