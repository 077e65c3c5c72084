/* SPDX-License-Identifier: Apache-2.0 */
/* index_int.h - what index.c and index_json.c share. */
#ifndef HUSH_SEALED_INDEX_INT_H
#define HUSH_SEALED_INDEX_INT_H

#include "sealed/index.h"

bool hush_sealed_new_id(char id[SEALED_ID_SIZE + 1]); /* false: no randomness */

/* The secret called name; a new one has no versions. NULL: no memory. */
struct sealed_secret *hush_sealed_index_insert(struct sealed_index *index, const char *name);

#endif
