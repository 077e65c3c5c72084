/* SPDX-License-Identifier: Apache-2.0 */
/*
 * call.h - which providers there are, the life of an instance, and the calls into it: the core's
 * side of provider.h. Nobody else calls the slots of an instance, so that this holds for all: one
 * that could not be opened is never asked. Every call answers what open() said, until open() is
 * tried again: by the first call after a pause of 1 s, then 2, 4 and at most 8 s, since what was
 * missing may be there by now.
 */
#ifndef HUSH_CALL_H
#define HUSH_CALL_H

#include "provider.h"

/* -- The registry (registry.c) ----------------------------------------------------------------- */

/* Every provider built in, sorted by name, NULL-terminated. */
extern const struct hush_provider_ops *const hush_providers[];

const struct hush_provider_ops *hush_provider_find(const char *type); /* NULL: unknown */

/* -- An instance (call.c) ---------------------------------------------------------------------- */

/*
 * A new instance with its options at their defaults; set the others with
 * hush_option_set(ops->options, …, self, …) before hush_provider_open(). NULL: no memory. instance
 * and env are borrowed.
 */
struct hush_provider *hush_provider_new(const struct hush_provider_ops *ops, const char *instance,
                                        const struct hush_environ *env);
/* Close it if it was opened, free its options and itself. NULL ok. */
void hush_provider_free(struct hush_provider *self);

/* Open it, if it is not open. What speaks of a secret (NOT_FOUND, DENIED, …) becomes HUSH_CONFIG:
 * that an instance cannot be opened says of no secret that it is gone. */
enum hush_status hush_provider_open(struct hush_provider *self, struct hush_op *op);
bool hush_provider_is_open(const struct hush_provider *self);

/* The slots of struct hush_provider_ops, which must be there. Any thread. hush_provider_watch()
 * does not open an instance: it is no request. */
enum hush_status hush_provider_fetch(struct hush_provider *self, struct hush_op *op,
                                     const struct hush_ref *ref, const struct hush_version *if_not,
                                     struct hush_value *out);
enum hush_status hush_provider_list(struct hush_provider *self, struct hush_op *op,
                                    const char *prefix, hush_emit_fn *emit, void *ctx);
enum hush_status hush_provider_watch(struct hush_provider *self, struct hush_op *op,
                                     hush_changed_fn *changed, void *ctx);
enum hush_status hush_provider_renew(struct hush_provider *self, struct hush_op *op,
                                     const char *lease, struct hush_meta *meta);
enum hush_status hush_provider_revoke(struct hush_provider *self, struct hush_op *op,
                                      const char *lease);

#endif
