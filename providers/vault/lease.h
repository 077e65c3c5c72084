/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.h - the leases of engine.c's values. Threads: any.
 */
#ifndef HUSH_VAULT_LEASE_H
#define HUSH_VAULT_LEASE_H

#include "answer.h"

/* What a value with this lease, made under the login of generation, says of itself; nothing if
 * there is none. */
void vault_lease_meta(struct vault *v, const struct vault_lease *lease, uint32_t generation,
                      struct hush_meta *meta);

#endif
