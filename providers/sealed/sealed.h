/* SPDX-License-Identifier: Apache-2.0 */
/* sealed.h - what sealed.c and watch.c share: one instance of the provider. */
#ifndef HUSH_SEALED_H
#define HUSH_SEALED_H

#include "sealed/reader.h"

struct sealed {
    struct hush_provider base;
    char *store, *key_file, *passphrase_file;
    uint32_t keep; /* for `hushfs store`; 0: as the store says */
    struct sealed_reader reader;
};

enum hush_status hush_sealed_watch(struct hush_provider *self, struct hush_op *op,
                                   hush_changed_fn *changed, void *ctx);

#endif
