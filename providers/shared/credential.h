/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.h - what a provider proves itself with, from the file that an option names: a path, or
 * the name of a systemd credential (HUSH_OPT_SECRET_FILE). Read anew at each login, never kept.
 */
#ifndef HUSH_CREDENTIAL_H
#define HUSH_CREDENTIAL_H

#include "provider.h"

enum { HUSH_CREDENTIAL_MAX = 64 << 10 }; /* bytes; larger files are refused */

/* Where file is, as a string into out. directory: $CREDENTIALS_DIRECTORY, or NULL. False: it is the
 * name of a credential and there is no directory, or the path is too long. */
bool hush_credential_path(const char *directory, const char *file, char *out, size_t size);

/* The directory of the instance's systemd credentials, or NULL; borrowed. */
const char *hush_credential_directory(const struct hush_provider *self);

/*
 * The content of file, less one newline at its end. *out is owned by the caller. HUSH_AUTH: it is
 * missing, cannot be read, is empty, too large or no regular file; the detail names the path.
 * Others may be able to read it: a Kubernetes token has mode 0644.
 */
__attribute__((warn_unused_result)) enum hush_status
hush_credential_read(const struct hush_provider *self, struct hush_op *op, const char *file,
                     struct hush_secret **out);

/* The same for a file that nobody configured (~/.vault-token): HUSH_AUTH too if it belongs to
 * somebody else, or anybody else has a right to it. */
__attribute__((warn_unused_result)) enum hush_status
hush_credential_read_own(const struct hush_provider *self, struct hush_op *op, const char *file,
                         struct hush_secret **out);

#endif
