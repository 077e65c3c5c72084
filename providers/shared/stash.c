/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stash.c - the stash of provider.h as providers see it: their own part of what the core keeps. And
 * the core's listener.
 */
#include "provider.h"

enum hush_status hush_stash_put(struct hush_provider *self, struct hush_op *op, const char *name,
                                struct hush_secret *secret)
{
    if (self->stash == NULL)
        return HUSH_OK;
    return self->stash->put(self->stash, op, self->instance, name, secret);
}

struct hush_secret *hush_stash_get(struct hush_provider *self, const char *name)
{
    return self->stash == NULL ? NULL : self->stash->get(self->stash, self->instance, name);
}

void hush_provider_tell(struct hush_provider *self, enum hush_status status, const char *why)
{
    if (self->listener != NULL)
        self->listener->told(self->listener, status, why);
}
