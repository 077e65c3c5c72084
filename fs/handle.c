/* SPDX-License-Identifier: Apache-2.0 */
/* handle.c - see handle.h. Called by decide.c, control.c and ops.c. */
#include "handle.h"

#include "tree.h"

#include <stdlib.h>

static struct hush_handle *handle_new(struct hush_fs *fs)
{
    struct hush_handle *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return NULL;
    h->id = ++fs->next_id;
    HASH_ADD(hh, fs->handles, id, sizeof(h->id), h);
    return h;
}

uint64_t hush_handle_listing(struct hush_fs *fs, struct hush_listing *listing)
{
    struct hush_handle *h = handle_new(fs);

    if (h == NULL)
        return 0;
    h->listing = hush_listing_ref(listing);
    return h->id;
}

uint64_t hush_handle_text(struct hush_fs *fs, char *text, size_t size)
{
    struct hush_handle *h = handle_new(fs);

    if (h == NULL) {
        free(text);
        return 0;
    }
    h->text = text;
    h->size = size;
    return h->id;
}

struct hush_handle *hush_handle_find(struct hush_fs *fs, uint64_t id)
{
    struct hush_handle *h;

    HASH_FIND(hh, fs->handles, &id, sizeof(id), h);
    return h;
}

void hush_handle_close(struct hush_fs *fs, uint64_t id)
{
    struct hush_handle *h = hush_handle_find(fs, id);

    if (h == NULL)
        return;
    HASH_DEL(fs->handles, h);
    hush_listing_unref(h->listing);
    free(h->text);
    free(h);
}
