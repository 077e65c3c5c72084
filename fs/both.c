/* SPDX-License-Identifier: Apache-2.0 */
/* both.c - see both.h. Called by lookup.c, decide*.c, readdir.c, item.c, list.c and rotate.c. */
#include "both.h"

#include "core/clock.h"
#include "gate.h"
#include "item.h"
#include "tree.h"

#include <stdio.h>
#include <string.h>

static const double LONG_S = 3600;

/* The node of the directory that path stands in, whatever that is shown as; NULL: none. */
static const struct hush_node *node_above(struct hush_fs *fs, const char *path)
{
    char parent[PATH_MAX];

    return hush_path_parent(path, parent) ? hush_tree_path_find(fs, parent, HUSH_NODE_DIR, false)
                                          : NULL;
}

unsigned hush_both_kinds(struct hush_fs *fs, const char *path)
{
    const struct hush_item *item = hush_item_find(fs, path);
    const struct hush_node *above = node_above(fs, path);
    const struct hush_node *own = hush_tree_path_find(fs, path, HUSH_NODE_DIR, false);
    unsigned kinds = 0, listed = 0;

    if (item != NULL)
        kinds |= item->kinds | (item->current != NULL ? HUSH_IS_SECRET : 0);
    if (above != NULL)
        listed = hush_listing_kinds(above->listing, hush_path_last(path));
    kinds |= listed;
    if (own != NULL && own->secret_too && (listed == 0 || (listed & HUSH_IS_SECRET) != 0))
        kinds |= HUSH_IS_SECRET;
    if (own != NULL && own->listing != NULL && own->listing->count > 0 &&
        own->list_status != HUSH_NOT_FOUND && (listed == 0 || own->listed_ns >= above->listed_ns))
        kinds |= HUSH_IS_FOLDER;
    return kinds;
}

bool hush_both_is_folder(struct hush_fs *fs, const struct hush_item *item)
{
    return hush_both_may(item) && (hush_both_kinds(fs, item->path) & HUSH_IS_FOLDER) != 0;
}

bool hush_both_may(const struct hush_item *item)
{
    return item->instance != NULL && !item->versioned &&
           (item->instance->provider->flags & HUSH_ONE_SECRET_PER_READ) == 0;
}

bool hush_both_shows_secret(struct hush_fs *fs, const char *path, pid_t tid)
{
    const struct hush_item *item = hush_item_get(fs, path, false);
    const struct hush_pass *pass = hush_gate_pass(fs, tid);
    uint64_t now_ns = hush_now_ns();
    bool asked;

    if (item == NULL || item->settings.as != HUSH_AS_DIRECTORY || !hush_both_may(item))
        return false;
    if (tid == atomic_load(&fs->state->mover_pid)) /* it never waits, and any of the two will do */
        return item->current != NULL;
    asked = pass->item == item->id && pass->retry && now_ns - pass->at_ns < HUSH_PASS_NS;
    return hush_item_gate(item, now_ns, asked) != HUSH_GATE_FAIL;
}

double hush_both_folder_s(struct hush_fs *fs, const char *path)
{
    const struct hush_item *item = hush_item_find(fs, path);
    uint64_t now_ns = hush_now_ns();

    if (item == NULL || item->settings.as != HUSH_AS_DIRECTORY || !hush_both_may(item))
        return LONG_S;
    return item->retry_ns > now_ns ? (double)(item->retry_ns - now_ns) / 1e9 : 0;
}

void hush_both_refused(struct hush_fs *fs, const struct hush_item *item)
{
    const unsigned both = HUSH_IS_SECRET | HUSH_IS_FOLDER;
    struct hush_node *dir;

    if (!hush_both_may(item) || (hush_both_kinds(fs, item->path) & both) != both)
        return;
    dir = hush_tree_path_node(fs, item->instance, item->path, HUSH_NODE_DIR, false);
    if (dir != NULL)
        hush_tree_secret_too(dir);
}

static bool listed_lately(const struct hush_node *dir, const struct hush_settings *settings,
                          uint64_t now_ns)
{
    if (dir == NULL || dir->listing == NULL || dir->listed_ns == 0)
        return false;
    return dir->instance->watching ||
           now_ns - dir->listed_ns <= (uint64_t)settings->ttl_ms * HUSH_NS_PER_MS;
}

/* The listing above says that it is a secret and nothing else. */
static bool is_listed_alone(struct hush_fs *fs, const struct hush_item *item, uint64_t now_ns)
{
    const struct hush_node *above = node_above(fs, item->path);

    return listed_lately(above, &item->settings, now_ns) &&
           hush_listing_kinds(above->listing, hush_path_last(item->path)) == HUSH_IS_SECRET;
}

bool hush_both_asks(struct hush_fs *fs, const struct hush_item *item)
{
    uint64_t now_ns = hush_now_ns();

    return hush_both_may(item) && item->instance->health == HUSH_OK &&
           now_ns >= item->alone_until_ns && !is_listed_alone(fs, item, now_ns) &&
           !listed_lately(hush_tree_path_find(fs, item->path, HUSH_NODE_DIR, false),
                          &item->settings, now_ns);
}

struct hush_item *hush_both_secret_above(struct hush_fs *fs, const char *path)
{
    char parent[PATH_MAX];
    struct hush_item *item = hush_path_parent(path, parent) ? hush_item_find(fs, parent) : NULL;

    return item != NULL && item->current != NULL && item->current->directory ? item : NULL;
}

void hush_both_spend(struct hush_fs *fs, const struct hush_request *r, const struct hush_item *item)
{
    struct hush_pass *pass = hush_gate_pass(fs, r->tid);
    const struct hush_item *above = hush_both_secret_above(fs, item->path);

    pass->again = item->id;
    pass->again_above = above != NULL ? above->id : 0;
    pass->again_ns = hush_now_ns();
}

static bool cut_last(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash != NULL)
        *slash = '\0';
    return slash != NULL;
}

bool hush_both_is_spent(struct hush_fs *fs, const struct hush_request *r,
                        const struct hush_item *item)
{
    const struct hush_pass *pass = hush_gate_pass(fs, r->tid);
    char path[PATH_MAX];
    bool more;

    if (pass->again == 0 || r->came_ns > pass->again_ns + HUSH_PASS_NS)
        return false;
    if (pass->again_above == item->id)
        return true;
    for (more = hush_path_parent(item->path, path); more; more = cut_last(path)) {
        const struct hush_item *above = hush_item_find(fs, path);

        if (above != NULL && above->id == pass->again)
            return true;
    }
    return false;
}

struct hush_node *hush_both_folder(struct hush_fs *fs, struct hush_item *item)
{
    struct hush_node *dir = hush_tree_path_find(fs, item->path, HUSH_NODE_DIR, false);
    uint64_t now_ns = hush_now_ns();

    if (dir != NULL && dir->listing != NULL)
        return dir;
    if (!hush_both_may(item) || item->instance->provider->ops->list == NULL ||
        now_ns < item->alone_until_ns || is_listed_alone(fs, item, now_ns))
        return NULL;
    return hush_tree_path_node(fs, item->instance, item->path, HUSH_NODE_GUESS, false);
}

bool hush_both_listed(struct hush_fs *fs, struct hush_node *dir, enum hush_status status,
                      const struct hush_listing *l, uint64_t now_ns)
{
    struct hush_item *item = hush_item_get(fs, dir->path, false);
    bool later = status != HUSH_OK && hush_status_keeps_stale(status);

    if (item == NULL)
        return false;
    if (l != NULL && l->count > 0) {
        item->kinds |= HUSH_IS_FOLDER;
        return hush_tree_path_node(fs, dir->instance, dir->path, HUSH_NODE_DIR, false) == dir;
    }
    item->alone_until_ns =
        now_ns + (later ? HUSH_NS_PER_S : (uint64_t)item->settings.neg_ttl_ms * HUSH_NS_PER_MS);
    return false;
}
