/* SPDX-License-Identifier: Apache-2.0 */
/*
 * both.h - a name that is a secret and a folder at once. Shown as a directory it has the secret's
 * fields, .json, the same as .value, and beside them what is below the folder; of a field and a
 * secret below of one name, the field is seen. The directory is the secret's VERSION; the folder's
 * own node (DIR, or GUESS until a listing showed that it is one) only keeps the listing. If there
 * is no value (refused, deleted, the backend away) the DIR takes its place.
 *
 * All functions: with fs->lock held.
 */
#ifndef HUSH_BOTH_H
#define HUSH_BOTH_H

#include "fs.h"

/* What is known of a shown path, by itself and by the listing above it: enum hush_kinds. */
unsigned hush_both_kinds(struct hush_fs *fs, const char *path);

/* Is item's name a folder, too, as far as is known? */
bool hush_both_is_folder(struct hush_fs *fs, const struct hush_item *item);

/* May there be something below item beside its fields? Not below a version of it by name, nor where
 * each read makes a credential. */
bool hush_both_may(const struct hush_item *item);

/* path is both, as far as is known: is the secret's directory shown (or first asked for by tid), or
 * the folder alone? */
bool hush_both_shows_secret(struct hush_fs *fs, const char *path, pid_t tid);
/* Until when the folder alone is shown, in seconds from now. */
double hush_both_folder_s(struct hush_fs *fs, const char *path);

/* item's secret was refused, or is gone: if its name is a folder, too, that it was both is not
 * forgotten, and it is asked for again in time. */
void hush_both_refused(struct hush_fs *fs, const struct hush_item *item);

/* Is it worth asking the backend for a name below item that is neither a field nor listed? Not if
 * a listing tells, nor while the backend is ill: it is most likely a field that is not there. */
bool hush_both_asks(struct hush_fs *fs, const struct hush_item *item);

/* The secret in whose directory a shown path stands; NULL: it stands in a folder. */
struct hush_item *hush_both_secret_above(struct hush_fs *fs, const char *path);

/*
 * The kernel looks a path up again once in a call. r's call spends that on item; has it spent it,
 * on a secret above item or below? Then another ESTALE would reach the caller, and item is shown
 * through the node that r asks for.
 */
void hush_both_spend(struct hush_fs *fs, const struct hush_request *r,
                     const struct hush_item *item);
bool hush_both_is_spent(struct hush_fs *fs, const struct hush_request *r,
                        const struct hush_item *item);

/* The node that keeps the listing of what is below item; made if it is worth a call to learn that.
 * NULL: there is nothing. */
struct hush_node *hush_both_folder(struct hush_fs *fs, struct hush_item *item);

/* dir, a GUESS, was listed, which gave l or failed: it is a folder (true), or needed no more. */
bool hush_both_listed(struct hush_fs *fs, struct hush_node *dir, enum hush_status status,
                      const struct hush_listing *l, uint64_t now_ns);

#endif
