/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c - see keys.h. Key files are read straight into memory that is wiped.
 */
#include "sealed/keys.h"

#include "core/cleanup.h"
#include "core/lockmem.h"
#include "core/wipealloc.h"
#include "credential.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    KEYS_FILE_MAX = 16 << 10,
    KEYS_MODE_REFUSED = 027, /* others may not read it, and only its owner may write it */
};

void hush_sealed_keys_init(struct sealed_keys *keys, const struct sealed_source *source)
{
    *keys = (struct sealed_keys){.source = source};
    pthread_mutex_init(&keys->lock, NULL);
}

void hush_sealed_keys_done(struct sealed_keys *keys)
{
    if (keys->source == NULL)
        return;
    if (keys->text != NULL)
        hush_wipe(keys->text, keys->room);
    hush_lockmem_unmap(keys->text, keys->room);
    pthread_mutex_destroy(&keys->lock);
    *keys = (struct sealed_keys){0};
}

/* -- Files ------------------------------------------------------------------------------------- */

/* What is read into wiping memory. */
struct keys_text {
    char *bytes;
    size_t size;
    struct sealed_stamp stamp;
};

static void keys_text_done(struct keys_text *text)
{
    hush_wipe_free(text->bytes);
    text->bytes = NULL;
}

static enum hush_status keys_read_fd(struct hush_op *op, int fd, const char *path,
                                     struct keys_text *out)
{
    struct stat st;
    ssize_t got;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return hush_fail(op, HUSH_CONFIG, "'%s' is not a regular file", path);
    if ((st.st_mode & KEYS_MODE_REFUSED) != 0)
        return hush_fail(op, HUSH_CONFIG,
                         "'%s' has mode %04o, so others may read or change it: chmod 0400", path,
                         (unsigned)(st.st_mode & 07777));
    if (st.st_size == 0 || st.st_size > KEYS_FILE_MAX)
        return hush_fail(op, HUSH_CONFIG, "'%s' has %jd bytes: not a key", path,
                         (intmax_t)st.st_size);
    out->bytes = hush_wipe_malloc((size_t)st.st_size + 1);
    if (out->bytes == NULL)
        return hush_fail(op, HUSH_NO_MEMORY, "no memory for a key");
    do
        got = read(fd, out->bytes, (size_t)st.st_size);
    while (got < 0 && errno == EINTR);
    if (got != st.st_size) {
        keys_text_done(out);
        return hush_fail(op, HUSH_AUTH, "'%s' could not be read whole", path);
    }
    out->size = (size_t)got;
    out->bytes[got] = '\0';
    out->stamp = hush_sealed_stamp(&st);
    return HUSH_OK;
}

static enum hush_status keys_read(struct hush_op *op, const struct sealed_source *source,
                                  const char *file, struct keys_text *out)
{
    char path[PATH_MAX];
    cleanup_close int fd = -1;

    if (!hush_credential_path(source->credentials, file, path, sizeof(path)))
        return hush_fail(op, HUSH_AUTH,
                         "the key's file is the name of a credential, but there is no "
                         "$CREDENTIALS_DIRECTORY (see LoadCredential= in systemd.exec(5))");
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return hush_fail(op, HUSH_AUTH, "key '%s' for user %u: %m", path, (unsigned)geteuid());
    return keys_read_fd(op, fd, path, out);
}

static enum hush_status keys_read_passphrase(struct hush_op *op, const struct sealed_source *source,
                                             struct keys_text *out)
{
    const enum hush_status status = keys_read(op, source, source->passphrase_file, out);

    if (out->bytes != NULL && out->bytes[out->size - 1] == '\n')
        out->size--;
    return status;
}

/* The passphrase as a key. */
static enum hush_status keys_passphrase(struct hush_op *op, const struct sealed_source *source,
                                        struct hush_jwk_set **out, struct sealed_stamp *stamp)
{
    struct keys_text text = {0};
    enum hush_status status = keys_read_passphrase(op, source, &text);

    if (status != HUSH_OK)
        return status;
    status = hush_jwk_from_passphrase(op, text.bytes, text.size, out);
    *stamp = text.stamp;
    keys_text_done(&text);
    return status;
}

enum hush_status hush_sealed_passphrase(struct hush_op *op, const struct sealed_source *source,
                                        size_t least, struct hush_jwk_set **out)
{
    struct keys_text text = {0};
    char why[HUSH_DETAIL_MAX];
    enum hush_status status = keys_read_passphrase(op, source, &text);

    if (status == HUSH_OK && text.size < least)
        status = hush_fail(op, HUSH_CONFIG,
                           "the passphrase in '%s' has less than %zu bytes: whoever has the store "
                           "can try them all (`openssl rand -base64 24` makes a good one)",
                           source->passphrase_file, least);
    if (status == HUSH_OK)
        status = hush_jwk_from_passphrase(op, text.bytes, text.size, out);
    keys_text_done(&text);
    if (status != HUSH_AUTH)
        return status;
    memcpy(why, op->detail, sizeof(why)); /* no store refused it */
    return hush_fail(op, HUSH_CONFIG, "%s", why);
}

/* -- Loading ----------------------------------------------------------------------------------- */

static enum hush_status keys_open_sealed(struct hush_op *op, const struct sealed_file *file,
                                         const struct hush_jwk_set *passphrase,
                                         struct keys_text *out)
{
    struct hush_jwe *jwe = NULL;
    enum hush_status status = hush_jwe_parse(op, file->bytes, file->size, &jwe);

    if (status != HUSH_OK)
        return status;
    out->size = hush_jwe_size(jwe);
    out->bytes = hush_wipe_malloc(out->size + 1);
    out->stamp = file->stamp;
    if (out->bytes == NULL)
        status = hush_fail(op, HUSH_NO_MEMORY, "no memory for a key");
    else
        status = hush_jwe_open(op, jwe, passphrase, (uint8_t *)out->bytes, NULL);
    if (status == HUSH_AUTH)
        status = hush_fail(op, HUSH_AUTH, "the passphrase does not open '%s'", SEALED_KEY_FILE);
    if (status != HUSH_OK)
        keys_text_done(out);
    hush_jwe_free(jwe);
    return status;
}

/* The key that a passphrase opens. */
static enum hush_status keys_load_sealed(struct hush_op *op, const struct sealed_source *source,
                                         struct keys_text *out, struct sealed_stamp *stamp)
{
    enum hush_status status = HUSH_OK;
    cleanup_close int dir_fd = hush_sealed_open_store(op, source->store, &status);
    struct hush_jwk_set *passphrase = NULL;
    struct sealed_file file = {0};

    if (dir_fd < 0)
        return status;
    status = hush_sealed_read(op, dir_fd, SEALED_KEY_FILE, KEYS_FILE_MAX, &file);
    if (status == HUSH_NOT_FOUND)
        status = hush_fail(op, HUSH_AUTH, "store '%s' has no %s: it was not made with a passphrase",
                           source->store, SEALED_KEY_FILE);
    if (status == HUSH_OK)
        status = keys_passphrase(op, source, &passphrase, stamp);
    if (status == HUSH_OK)
        status = keys_open_sealed(op, &file, passphrase, out);
    hush_jwk_free(passphrase);
    hush_sealed_file_done(&file);
    return status;
}

static const char *keys_file(const struct sealed_source *source)
{
    return source->key_file == NULL ? SEALED_KEY_DEFAULT : source->key_file;
}

static enum hush_status keys_load(struct hush_op *op, struct sealed_keys *keys)
{
    const struct sealed_source *source = keys->source;
    struct keys_text text = {0};
    struct sealed_stamp passphrase = {0};
    enum hush_status status = source->passphrase_file != NULL
                                  ? keys_load_sealed(op, source, &text, &passphrase)
                                  : keys_read(op, source, keys_file(source), &text);

    if (text.bytes == NULL)
        return status;
    if (text.size > keys->room) {
        status = hush_fail(op, HUSH_CONFIG, "the key has %zu bytes", text.size);
    } else {
        hush_wipe(keys->text, keys->room);
        memcpy(keys->text, text.bytes, text.size);
        keys->size = text.size;
        keys->key = text.stamp;
        keys->passphrase = passphrase;
        keys->serial++;
    }
    keys_text_done(&text);
    return status;
}

static bool keys_map(struct sealed_keys *keys)
{
    cleanup_close int fd = -1;

    if (keys->text != NULL)
        return true;
    fd = hush_lockmem_create("hushfs-key", KEYS_FILE_MAX);
    if (fd < 0)
        return false;
    keys->text = hush_lockmem_map(fd, &keys->room);
    return keys->text != NULL;
}

static struct sealed_stamp keys_stamp(const struct sealed_source *source, const char *file)
{
    char path[PATH_MAX];
    struct stat st;

    if (!hush_credential_path(source->credentials, file, path, sizeof(path)) ||
        stat(path, &st) != 0)
        return (struct sealed_stamp){0};
    return hush_sealed_stamp(&st);
}

/* Are the files those that were read? */
static bool keys_are_current(const struct sealed_keys *keys)
{
    const struct sealed_source *source = keys->source;
    char key_file[PATH_MAX];
    struct sealed_stamp key, passphrase;

    if (keys->serial == 0)
        return false;
    if (source->passphrase_file == NULL) {
        key = keys_stamp(source, keys_file(source));
        return hush_sealed_stamp_equal(&key, &keys->key);
    }
    (void)snprintf(key_file, sizeof(key_file), "%s/%s", source->store,
                   SEALED_KEY_FILE); /* cut: none */
    key = keys_stamp(source, key_file);
    passphrase = keys_stamp(source, source->passphrase_file);
    return hush_sealed_stamp_equal(&key, &keys->key) &&
           hush_sealed_stamp_equal(&passphrase, &keys->passphrase);
}

enum hush_status hush_sealed_keys_get(struct hush_op *op, struct sealed_keys *keys,
                                      struct hush_jwk_set **out, unsigned *serial)
{
    enum hush_status status = HUSH_OK;

    hush_lock_scope(&keys->lock);
    if (!keys_map(keys))
        return hush_fail(op, HUSH_NO_MEMORY, "no locked memory for a key (see RLIMIT_MEMLOCK): %m");
    if (!keys_are_current(keys))
        status = keys_load(op, keys);
    if (status != HUSH_OK)
        return status;
    if (serial != NULL)
        *serial = keys->serial;
    return hush_jwk_parse(op, keys->text, keys->size, out);
}
