/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.c - see credential.h. The logins of the network providers read their files here,
 * straight into the arena.
 */
#include "credential.h"

#include "core/cleanup.h"
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

bool hush_credential_path(const char *directory, const char *file, char *out, size_t size)
{
    int length;

    if (file[0] == '/')
        length = snprintf(out, size, "%s", file);
    else if (directory != NULL)
        length = snprintf(out, size, "%s/%s", directory, file);
    else
        return false;
    return length > 0 && (size_t)length < size;
}

const char *hush_credential_directory(const struct hush_provider *self)
{
    return self->env == NULL ? NULL : hush_environ_get(self->env, "CREDENTIALS_DIRECTORY");
}

static enum hush_status credential_take(struct hush_op *op, int fd, const char *path, size_t size,
                                        struct hush_secret **out)
{
    struct hush_secret *secret = NULL;
    uint8_t *bytes = NULL;
    enum hush_status status = hush_secret_alloc(op, size + 1, &secret, &bytes); /* has it grown? */
    ssize_t got;

    if (status != HUSH_OK)
        return status;
    got = hush_read_all(fd, bytes, size + 1);
    if (got < 0) {
        status = hush_fail(op, HUSH_AUTH, "read '%s': %m", path);
    } else if ((size_t)got > size) {
        status = hush_fail(op, HUSH_AUTH, "'%s' changed while it was read", path);
    } else {
        got -= got > 0 && bytes[got - 1] == '\n';
        if (got == 0)
            status = hush_fail(op, HUSH_AUTH, "'%s' is empty", path);
    }
    if (status != HUSH_OK) {
        hush_secret_unref(secret);
        return status;
    }
    hush_secret_shrink(secret, (size_t)got);
    *out = secret;
    return HUSH_OK;
}

static enum hush_status credential_check(struct hush_op *op, const struct stat *st,
                                         const char *path, bool own)
{
    if (!S_ISREG(st->st_mode))
        return hush_fail(op, HUSH_AUTH, "'%s' is not a regular file", path);
    if (st->st_size > HUSH_CREDENTIAL_MAX)
        return hush_fail(op, HUSH_AUTH, "'%s' has %jd bytes: not a credential", path,
                         (intmax_t)st->st_size);
    if (own && st->st_uid != geteuid())
        return hush_fail(op, HUSH_AUTH, "'%s' belongs to user %u, not to %u: not used", path,
                         (unsigned)st->st_uid, (unsigned)geteuid());
    if (own && (st->st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return hush_fail(op, HUSH_AUTH, "'%s' has mode %04o, so it is not used: chmod 0600", path,
                         (unsigned)(st->st_mode & 07777));
    return HUSH_OK;
}

static enum hush_status credential_read(const struct hush_provider *self, struct hush_op *op,
                                        const char *file, bool own, struct hush_secret **out)
{
    char path[PATH_MAX];
    cleanup_close int fd = -1;
    enum hush_status status;
    struct stat st;

    if (!hush_credential_path(hush_credential_directory(self), file, path, sizeof(path)))
        return hush_fail(op, HUSH_AUTH,
                         "'%s' is the name of a credential, but there is no "
                         "$CREDENTIALS_DIRECTORY (see LoadCredential= in systemd.exec(5))",
                         file);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return hush_fail(op, HUSH_AUTH, "credential '%s' for user %u: %m", path,
                         (unsigned)geteuid());
    status = credential_check(op, &st, path, own);
    if (status != HUSH_OK)
        return status;
    return credential_take(op, fd, path, (size_t)st.st_size, out);
}

enum hush_status hush_credential_read(const struct hush_provider *self, struct hush_op *op,
                                      const char *file, struct hush_secret **out)
{
    return credential_read(self, op, file, false, out);
}

enum hush_status hush_credential_read_own(const struct hush_provider *self, struct hush_op *op,
                                          const char *file, struct hush_secret **out)
{
    return credential_read(self, op, file, true, out);
}
