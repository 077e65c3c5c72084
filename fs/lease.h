/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lease.h - values that a fetch made for us and that end by themselves (meta.dynamic): a database
 * user, a certificate. Such a value is fresh until its end and never asked for again before; the
 * timer replaces it ahead of its end, whether or not somebody asks, since whoever read it once
 * still uses it:
 *
 *   renewable   renewed after 2/3 of its lease, a little later each by another part: nothing
 *               rotates. Replaced at once when a renewal gives less than half of the first lease
 *               or the lease is gone; when renewals fail, 10 to 20 % before its end
 *   otherwise   replaced after 85 to 90 % of its life
 *   never read  neither: it ends and is dropped, so that values which nobody uses do not follow
 *               each other for ever
 *
 * A value that was replaced is not revoked, its readers still use it. All leases that are known are
 * revoked when the mount ends; then the logins that instances made for themselves, with which the
 * backend ends what else hangs on them.
 */
#ifndef HUSH_LEASE_H
#define HUSH_LEASE_H

#include "fs.h"

enum hush_lease_act {
    HUSH_LEASE_WAIT,
    HUSH_LEASE_RENEW,
    HUSH_LEASE_REPLACE,
    HUSH_LEASE_DROP,
};

/* -- With fs->lock held: item->current is dynamic ---------------------------------------------- */

/* What is to be done with it now. */
enum hush_lease_act hush_lease_due(const struct hush_item *item, uint64_t now_ns);

/* When it is to be renewed or replaced; 0: it is left to its end. */
uint64_t hush_lease_next(const struct hush_item *item);

/* instance was opened, maybe late: if it gives its login back, a worker needs longer to end. */
void hush_lease_expect(const struct hush_instance *instance);

/* Do what is due. */
void hush_lease_tend(struct hush_fs *fs, struct hush_item *item, uint64_t now_ns);

/* -- Without ----------------------------------------------------------------------------------- */

/*
 * The mount ends: revoke the lease of every version that is known, then each instance's login if it
 * gives that back, all within HUSH_REVOKE_MS. Failures are logged. No other thread changes items
 * any more. False: a provider does not come back, the process must end.
 */
bool hush_lease_revoke_all(struct hush_fs *fs);

#endif
