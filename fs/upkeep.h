/* SPDX-License-Identifier: Apache-2.0 */
/* upkeep.h - what a provider tells of its instance without being asked. Of watch.c, shown by
 * report.c. */
#ifndef HUSH_UPKEEP_H
#define HUSH_UPKEEP_H

#include "provider.h"

struct hush_upkeep {
    struct hush_listener listener; /* in struct hush_instance */
    enum hush_status status;       /* what it said last, … */
    char why[HUSH_DETAIL_MAX];     /* … and why */
};

#endif
