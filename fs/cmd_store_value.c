/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_store_value.c - where the value of `hushfs store put` comes from; see cmd_store.h. From its
 * source into locked memory, by way of a small buffer that is wiped.
 */
#include "cmd_store.h"

#include "core/cleanup.h"
#include "core/lockmem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum {
    VALUE_CHUNK = 4096,
    VALUE_LENGTH_MAX = 4096, /* of a generated one */
    VALUE_RSA_BITS = 3072,
    VALUE_UUID_SIZE = 36,
};

/* -- Reading ----------------------------------------------------------------------------------- */

void hush_store_strip(struct hush_secret *value)
{
    const size_t size = hush_secret_size(value);

    if (size > 0 && hush_secret_bytes(value)[size - 1] == '\n')
        hush_secret_shrink(value, size - 1);
}

/* Up to room bytes; fewer: the end. -1 with errno. */
static ssize_t read_all(int fd, uint8_t *bytes, size_t room)
{
    uint8_t chunk[VALUE_CHUNK]; /* read(2) cannot write to all kinds of locked memory */
    size_t done = 0;
    ssize_t got = 1;

    while (got > 0 && done < room) {
        const size_t left = room - done < sizeof(chunk) ? room - done : sizeof(chunk);
        got = read(fd, chunk, left);
        if (got > 0) {
            memcpy(bytes + done, chunk, (size_t)got);
            done += (size_t)got;
        } else if (got < 0 && errno == EINTR) {
            got = 1;
        }
    }
    hush_wipe(chunk, sizeof(chunk));
    return got < 0 ? -1 : (ssize_t)done;
}

/* Room for max bytes, or as many as there are, and one more, to see that there is one. */
static enum hush_status read_room(struct hush_store_run *run, size_t *max,
                                  struct hush_secret **value, uint8_t **bytes)
{
    size_t room = *max + 1;
    enum hush_status status = HUSH_NO_MEMORY;

    hush_op_init(&run->op, run->arena, 0);
    run->op.secret_max = room;
    while (status == HUSH_NO_MEMORY && room > VALUE_CHUNK) {
        status = hush_secret_alloc(&run->op, room, value, bytes);
        *max = room - 1;
        room -= room / 8;
    }
    return status;
}

int hush_store_read(struct hush_store_run *run, int fd, const char *what, size_t max,
                    struct hush_secret **out)
{
    struct hush_secret *value = NULL;
    uint8_t *bytes = NULL;
    enum hush_status status = read_room(run, &max, &value, &bytes);
    ssize_t got;

    if (status != HUSH_OK)
        return hush_store_fail(run, status, what);
    got = read_all(fd, bytes, max + 1);
    if (got >= 0 && (size_t)got <= max) {
        hush_secret_shrink(value, (size_t)got);
        *out = value;
        return HUSH_CMD_DONE;
    }
    const int err = errno;
    hush_secret_unref(value);
    errno = err;
    return got < 0 ? hush_cmd_fail(HUSH_CMD_FAILED, "%s: %m", what)
                   : hush_cmd_fail(HUSH_CMD_FAILED, "%s: more than %zu bytes%s", what, max,
                                   hush_cmd_memory_hint(&run->op));
}

static int value_from_file(struct hush_store_run *run, const char *file, struct hush_secret **out)
{
    cleanup_close int fd = -1;

    if (strcmp(file, "-") == 0)
        return hush_store_read(run, STDIN_FILENO, "standard input", HUSH_SECRET_SIZE_MAX, out);
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return hush_cmd_fail(errno == ENOENT ? HUSH_CMD_NOT_FOUND : HUSH_CMD_FAILED, "%s: %m",
                             file);
    return hush_store_read(run, fd, file, HUSH_SECRET_SIZE_MAX, out);
}

/* -- The prompt -------------------------------------------------------------------------------- */

static volatile sig_atomic_t prompt_signal;

static void prompt_on_signal(int signal)
{
    prompt_signal = signal;
}

static const int prompt_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

enum { PROMPT_SIGNALS = sizeof(prompt_signals) / sizeof(prompt_signals[0]) };

/* One line without echo; a signal ends it, and takes effect when the terminal is as it was. */
static int prompt_line(struct hush_store_run *run, struct hush_secret **out)
{
    struct sigaction quiet = {.sa_handler = prompt_on_signal}, before[PROMPT_SIGNALS];
    struct termios old, silent;
    struct hush_secret *value = NULL;
    uint8_t *bytes = NULL;
    ssize_t got;

    if (hush_secret_alloc(&run->op, VALUE_CHUNK, &value, &bytes) != HUSH_OK)
        return hush_cmd_fail(HUSH_CMD_FAILED, "out of memory");
    if (tcgetattr(STDIN_FILENO, &old) != 0) {
        hush_secret_unref(value);
        return hush_cmd_fail(HUSH_CMD_FAILED, "standard input: %m");
    }
    silent = old;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    silent.c_lflag |= ECHONL;
    prompt_signal = 0;
    for (size_t i = 0; i < PROMPT_SIGNALS; i++)
        (void)sigaction(prompt_signals[i], &quiet, &before[i]); /* valid signals */
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    got = read(STDIN_FILENO, bytes, VALUE_CHUNK); /* one line: the terminal sees to that */
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
    for (size_t i = 0; i < PROMPT_SIGNALS; i++)
        (void)sigaction(prompt_signals[i], &before[i], NULL); /* valid signals */
    if (prompt_signal != 0)
        (void)raise(prompt_signal);
    hush_secret_shrink(value, got < 0 ? 0 : (size_t)got);
    *out = value;
    return HUSH_CMD_DONE;
}

static int prompt_once(struct hush_store_run *run, const char *text, struct hush_secret **out)
{
    int status;

    (void)fputs(text, stderr);
    (void)fflush(stderr);
    status = prompt_line(run, out);
    if (status != HUSH_CMD_DONE)
        return status;
    if (hush_secret_size(*out) == 0) {
        *out = hush_secret_unref(*out);
        return hush_cmd_fail(HUSH_CMD_FAILED, "no value was given");
    }
    hush_store_strip(*out);
    return HUSH_CMD_DONE;
}

static int value_from_prompt(struct hush_store_run *run, struct hush_secret **out)
{
    struct hush_secret *again = NULL;
    int status;

    hush_op_init(&run->op, run->arena, 0);
    status = prompt_once(run, "Value: ", out);
    if (status != HUSH_CMD_DONE)
        return status;
    status = prompt_once(run, "Once more: ", &again);
    if (status == HUSH_CMD_DONE && !hush_secret_equal(*out, again))
        status = hush_cmd_fail(HUSH_CMD_FAILED, "these were two different values");
    hush_secret_unref(again);
    if (status != HUSH_CMD_DONE)
        *out = hush_secret_unref(*out);
    return status;
}

/* -- New values -------------------------------------------------------------------------------- */

/* Letters and digits, each as likely as any other. */
static bool generate_text(uint8_t *to, size_t size)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    enum { LETTERS = sizeof(letters) - 1, FAIR = 256 - 256 % LETTERS };
    uint8_t byte;

    for (size_t done = 0; done < size;) {
        if (RAND_bytes(&byte, 1) != 1)
            return false;
        if (byte < FAIR)
            to[done++] = (uint8_t)letters[byte % LETTERS];
    }
    hush_wipe(&byte, sizeof(byte));
    return true;
}

/* Random, of version 4. */
static bool generate_uuid(uint8_t *to, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];
    size_t used = 0;

    if (size != VALUE_UUID_SIZE || RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            to[used++] = '-';
        to[used++] = (uint8_t)digits[bytes[i] >> 4];
        to[used++] = (uint8_t)digits[bytes[i] & 15];
    }
    hush_wipe(bytes, sizeof(bytes));
    return true;
}

static enum hush_status generate_bytes(struct hush_store_run *run, size_t size,
                                       bool (*fill)(uint8_t *to, size_t size),
                                       struct hush_secret **out)
{
    uint8_t *bytes = NULL;
    const enum hush_status status = hush_secret_alloc(&run->op, size, out, &bytes);

    if (status != HUSH_OK || fill(bytes, size))
        return status;
    *out = hush_secret_unref(*out);
    return hush_fail(&run->op, HUSH_BACKEND, "no randomness");
}

/* A private key as PKCS #8 in PEM; OpenSSL's own memory is wiped as it is released. */
static enum hush_status generate_key(struct hush_store_run *run, const char *what,
                                     struct hush_secret **out)
{
    EVP_PKEY *key = strcmp(what, "rsa") == 0 ? EVP_RSA_gen(VALUE_RSA_BITS) : EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    enum hush_status status = HUSH_BACKEND;
    char *text;

    if (key != NULL && bio != NULL &&
        PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        const long size = BIO_get_mem_data(bio, &text);
        status = hush_secret_new(&run->op, text, (size_t)size, out);
    } else {
        status = hush_fail(&run->op, HUSH_BACKEND, "could not make a key");
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    return status;
}

static int value_from_nothing(struct hush_store_run *run, const char *what,
                              struct hush_secret **out)
{
    uint64_t length;
    enum hush_status status;

    hush_op_init(&run->op, run->arena, 0);
    if (strcmp(what, "uuid") == 0)
        status = generate_bytes(run, VALUE_UUID_SIZE, generate_uuid, out);
    else if (strcmp(what, "rsa") == 0 || strcmp(what, "ec") == 0)
        status = generate_key(run, what, out);
    else if (hush_parse_u64(what, VALUE_LENGTH_MAX, &length) && length > 0)
        status = generate_bytes(run, (size_t)length, generate_text, out);
    else
        return hush_cmd_fail(HUSH_CMD_USAGE,
                             "store put: generate what? A LENGTH of 1 to %d, uuid, rsa or ec",
                             VALUE_LENGTH_MAX);
    return status == HUSH_OK ? HUSH_CMD_DONE : hush_store_fail(run, status, NULL);
}

static int value_given(struct hush_store_run *run, struct hush_secret **out)
{
    const struct hush_store_args *args = run->args;
    int status;

    if (args->file == NULL && isatty(STDIN_FILENO) == 1)
        return value_from_prompt(run, out);
    status = value_from_file(run, args->file == NULL ? "-" : args->file, out);
    if (status == HUSH_CMD_DONE && args->strip)
        hush_store_strip(*out);
    return status;
}

int hush_store_value(struct hush_store_run *run, struct hush_secret **out)
{
    const struct hush_store_args *args = run->args;
    int status;

    if (args->generate != NULL)
        return value_from_nothing(run, args->generate, out);
    status = value_given(run, out);
    if (status != HUSH_CMD_DONE || hush_secret_size(*out) != 0 || args->allow_empty)
        return status;
    *out = hush_secret_unref(*out);
    /* Most often a command before a pipe that failed: its current value must not go for that. */
    return hush_cmd_fail(HUSH_CMD_FAILED,
                         "%s: the value is empty: nothing was stored (--allow-empty stores it)",
                         args->file == NULL ? "standard input" : args->file);
}
