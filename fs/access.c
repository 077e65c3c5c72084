/* SPDX-License-Identifier: Apache-2.0 */
/* access.c - see access.h. Called by snapshot.c, attr.c and decide_open.c. */
#include "access.h"

#include <stdlib.h>

bool hush_access_settle(struct hush_snapshot *s)
{
    const struct hush_item *item = s->item;
    const struct hush_config *config = item->instance != NULL ? item->instance->fs->config : NULL;
    struct hush_settings *whole;

    /* Nothing in it differs from it. */
    if (!s->directory || config == NULL || !hush_config_has_field_rules(config, item->path))
        return true;
    s->settings = calloc(s->node_count, sizeof(*s->settings));
    if (s->settings == NULL)
        return false;
    s->settings[0] = item->settings;
    whole = &s->settings[1];
    hush_config_whole_settings(config, item->instance->config, item->path, s->nodes[1].name, whole);
    for (size_t i = 2; i < s->node_count; i++)
        if (hush_config_field_settings(config, item->instance->config, item->path, s->nodes[i].name,
                                       &s->settings[i]))
            hush_settings_restrict(whole, &s->settings[i]);
    return true;
}

const struct hush_settings *hush_access_of(const struct hush_node *node)
{
    const struct hush_snapshot *s = node->snapshot;

    return s->settings != NULL ? &s->settings[node - s->nodes] : &s->item->settings;
}
