/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.h - the parts of the scriptable provider (test.c): its control files, and lease.c.
 */
#ifndef HUSH_TEST_SCRIPT_H
#define HUSH_TEST_SCRIPT_H

#include "provider.h"

enum { TEST_CONTROL_MAX = 128, TEST_SLICE_MS = 5 };

struct test_provider {
    struct hush_provider base;
    char *dir;
};

/* -- script.c ---------------------------------------------------------------------------------- */

char *test_path(const struct test_provider *test, const char *name, const char *suffix);
bool test_exists(const struct test_provider *test, const char *name, const char *suffix);

/* The first line of a control file; false: there is none. */
bool test_control(const struct test_provider *test, const char *name, const char *suffix,
                  char line[TEST_CONTROL_MAX]);

/* The number in a control file, if there is one. */
enum hush_status test_number(const struct test_provider *test, struct hush_op *op, const char *name,
                             const char *suffix, uint64_t *out);

/* Append "WHAT NAME#VERSION" to .calls. */
void test_log_call(const struct test_provider *test, const char *what, const char *name,
                   const char *version);

/* Everything that the control files of name say before the call does its work. */
enum hush_status test_script(const struct test_provider *test, struct hush_op *op,
                             const char *name);

enum hush_status test_check_op(struct hush_op *op); /* canceled, or too late? */
void test_sleep_ms(long ms);

/* -- lease.c ----------------------------------------------------------------------------------- */

/* Make value (its secret and meta) a credential of its own. Not cleared on failure. */
enum hush_status test_credential(const struct test_provider *test, struct hush_op *op,
                                 const char *name, struct hush_value *value);

enum hush_status test_open(struct hush_provider *self, struct hush_op *op);
enum hush_status test_watch(struct hush_provider *self, struct hush_op *op,
                            hush_changed_fn *changed, void *ctx);
enum hush_status test_renew(struct hush_provider *self, struct hush_op *op, const char *lease,
                            struct hush_meta *meta);
enum hush_status test_revoke(struct hush_provider *self, struct hush_op *op, const char *lease);

#endif
